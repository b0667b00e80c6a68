import { appendFileSync } from "node:fs";

/** Told of every step's beginning and end. */
export type PointHook = (step: string, phase: "before" | "after") => void;

/** Where a test writes down what it wants: a file of its own, and the point at which this process is to stop. */
const LOG_VARIABLE = "PEERPODS_TEST_POINTS_FILE";
const STOP_VARIABLE = "PEERPODS_TEST_STOP_AT";

/**
 * For the crash matrix. With PEERPODS_TEST_POINTS_FILE each point that is reached becomes a line there (`journal.reserve before`);
 * with PEERPODS_TEST_STOP_AT=`<step> <phase>` the process stops itself (SIGSTOP) the first time it gets there, for the test
 * to kill what it wants to be killed. Undefined when neither is asked for: then nothing is wrapped.
 */
export function crashPoints(env: Readonly<Record<string, string | undefined>>): PointHook | undefined {
  const file = env[LOG_VARIABLE] ?? "";
  const stopAt = env[STOP_VARIABLE] ?? "";
  if (file === "") return undefined;
  let stopped = false;
  return (step, phase) => {
    const point = `${step} ${phase}`;
    appendFileSync(file, `${point}\n`);
    if (point !== stopAt || stopped) return;
    stopped = true;
    process.kill(process.pid, "SIGSTOP");
  };
}

/**
 * `target` with every method's calls told to the hook, so that a method added later is a point without anybody thinking of it.
 * An asynchronous method's end is told when its promise has settled.
 */
export function withPoints<T extends object>(target: T, name: string, hook: PointHook | undefined): T {
  if (hook === undefined) return target;
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== "function" || typeof key !== "string") return value;
      return (...args: unknown[]): unknown => {
        hook(`${name}.${key}`, "before");
        const result: unknown = Reflect.apply(value, object, args);
        if (!(result instanceof Promise)) {
          hook(`${name}.${key}`, "after");
          return result;
        }
        return result.finally(() => hook(`${name}.${key}`, "after"));
      };
    },
  });
}
