import { describeError } from "../../errors/index.ts";
import { parseInitdata } from "../../user-data/index.ts";
import { Annotation } from "./names.ts";
import type { WebhookPolicy } from "./policy.ts";

const NUMBERS = [Annotation.Vcpus, Annotation.MemoryMiB, Annotation.Gpus];

/** What is wrong with the annotations by which a user shapes the pod's VM: one line each, naming the key and what to do. */
export function annotationProblems(
  annotations: Readonly<Record<string, string>>,
  policy: Pick<WebhookPolicy, "allowedMachineTypes">,
): readonly string[] {
  return [
    ...NUMBERS.flatMap((key) => numberProblem(key, annotations[key])),
    ...machineTypeProblem(annotations[Annotation.MachineType] ?? "", policy),
    ...initdataProblem(annotations[Annotation.Initdata] ?? ""),
  ];
}

const numberProblem = (key: string, text: string | undefined): readonly string[] =>
  text === undefined || /^\d{1,9}$/.test(text.trim())
    ? []
    : [`annotation ${key} is ${shown(text)}, no whole number: it would count as not given`];

function machineTypeProblem(
  machineType: string,
  policy: Pick<WebhookPolicy, "allowedMachineTypes">,
): readonly string[] {
  const allowed = policy.allowedMachineTypes;
  if (machineType === "" || allowed === undefined || allowed.names.includes(machineType)) return [];
  return [
    `annotation ${Annotation.MachineType} is ${shown(machineType)}, which is not allowed: choose one of ${allowed.names.join(", ")}, or have it added to ${allowed.key}`,
  ];
}

function initdataProblem(text: string): readonly string[] {
  if (text === "") return [];
  // Kata's shim unpacks it, so unlike INITDATA it cannot be plain TOML.
  if (!/^[A-Za-z0-9+/\s]+=*\s*$/.test(text)) {
    return [
      `annotation ${Annotation.Initdata} is not base64 of gzip of TOML: make it with gzip -c FILE | base64 -w0`,
    ];
  }
  try {
    parseInitdata(text);
    return [];
  } catch (error) {
    return [`annotation ${Annotation.Initdata}: ${describeError(error)}`];
  }
}

const shown = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
