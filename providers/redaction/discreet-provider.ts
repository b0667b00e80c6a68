import { CaaError, describeError } from "../../src/errors/index.ts";
import type { Log, LogFields, Secret } from "../../src/platform/index.ts";
import type {
  Finding,
  OptionReader,
  Provider,
  ProviderContext,
  ProviderModule,
  VmRequest,
} from "../contract.ts";
import { Redactor } from "./redactor.ts";

/**
 * The module's provider, of whose errors, findings and log lines no secret comes out: neither a secret option nor user data,
 * also where the cloud quotes what it was sent.
 */
export async function createDiscreetly(
  module: ProviderModule,
  context: ProviderContext,
  options: OptionReader,
): Promise<Provider> {
  const given = module.options
    .filter(({ secret }) => secret === true)
    .map(({ flag }) => options.secret(flag));
  const redactor = new Redactor(given.filter((secret) => secret !== undefined));
  const log = discreetLog(context.log, redactor);
  return discreetProvider(await module.create({ ...context, log }, options), redactor);
}

function discreetLog(log: Log, redactor: Redactor): Log {
  const clean = (fields: LogFields | undefined): LogFields =>
    Object.fromEntries(
      Object.entries(fields ?? {}).map(([key, value]) => [
        key,
        typeof value === "string" ? redactor.redact(value) : value,
      ]),
    );
  return {
    error: (message, fields) => log.error(redactor.redact(message), clean(fields)),
    warn: (message, fields) => log.warn(redactor.redact(message), clean(fields)),
    info: (message, fields) => log.info(redactor.redact(message), clean(fields)),
    debug: (message, fields) => log.debug(redactor.redact(message), clean(fields)),
    child: (fields) => discreetLog(log.child(clean(fields)), redactor),
  };
}

function discreetProvider(provider: Provider, redactor: Redactor): Provider {
  const discreet = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw discreetError(error, redactor);
    }
  };
  const holding = <T>(userData: Secret, harmless: readonly string[], work: () => Promise<T>): Promise<T> =>
    redactor.during(userData, harmless, () => discreet(work));
  return {
    name: provider.name,
    get limits() {
      return provider.limits;
    },
    verify: (signal) =>
      discreet(async () =>
        (await provider.verify(signal)).map((finding) => discreetFinding(finding, redactor)),
      ),
    create: (request, options) =>
      holding(request.userData, namesIn(request), () => provider.create(request, options)),
    get: (ref, signal) => discreet(() => provider.get(ref, signal)),
    delete: (ref, signal) => discreet(() => provider.delete(ref, signal)),
    list: (filter, signal) => discreet(() => provider.list(filter, signal)),
    ...optionalParts(provider, { discreet, holding }),
    close: () => provider.close(),
  };
}

interface Wraps {
  readonly discreet: <T>(work: () => Promise<T>) => Promise<T>;
  readonly holding: <T>(userData: Secret, harmless: readonly string[], work: () => Promise<T>) => Promise<T>;
}

/** What a provider may lack must still be missing. */
function optionalParts(
  provider: Provider,
  { discreet, holding }: Wraps,
): Pick<Provider, "updateUserData" | "console" | "quota"> {
  return {
    ...(provider.updateUserData && {
      updateUserData: (ref, userData, signal) =>
        holding(userData, [ref.name], async () => await provider.updateUserData?.(ref, userData, signal)),
    }),
    ...(provider.console && {
      console: (ref, signal) => discreet(async () => (await provider.console?.(ref, signal)) ?? ""),
    }),
    ...(provider.quota && { quota: (signal) => discreet(async () => await provider.quota?.(signal)) }),
  };
}

const namesIn = (request: VmRequest): readonly string[] => [request.name, ...Object.values(request.tags)];

const discreetFinding = (finding: Finding, redactor: Redactor): Finding => ({
  ...finding,
  text: redactor.redact(finding.text),
});

/** The error as it is, unless a text in it has to be changed. */
function discreetError(error: unknown, redactor: Redactor): unknown {
  const told = describeError(error);
  const clean = redactor.redact(told);
  if (clean === told) return error;
  if (!(error instanceof CaaError)) return new Error(clean);
  const { kind, message, retryAfterMs, cause } = error;
  return new CaaError(kind, redactor.redact(message), {
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(cause === undefined ? {} : { cause: new Error(redactor.redact(describeError(cause))) }),
  });
}
