import type { Journal } from "../journal/index.ts";
import type { Log, LogFields } from "../platform/index.ts";

/**
 * The log, with pod and VM named in every line about a sandbox that the journal knows: whoever looks for a pod finds all its
 * lines, whichever part wrote them.
 */
export function withPodNames(log: Log, journal: Pick<Journal, "sandbox">): Log {
  const named = (fields: LogFields | undefined): LogFields | undefined => {
    if (fields?.sandboxId === undefined || (fields.pod !== undefined && fields.vmName !== undefined))
      return fields;
    return { ...namesOf(journal, fields.sandboxId), ...fields };
  };
  return {
    error: (message, fields) => log.error(message, named(fields)),
    warn: (message, fields) => log.warn(message, named(fields)),
    info: (message, fields) => log.info(message, named(fields)),
    debug: (message, fields) => log.debug(message, named(fields)),
    child: (fields) => withPodNames(log.child(fields), journal),
  };
}

function namesOf(journal: Pick<Journal, "sandbox">, id: string): LogFields {
  try {
    const record = journal.sandbox(id);
    if (record === undefined) return {};
    return { pod: `${record.podNamespace}/${record.podName}`, vmName: record.vmName };
  } catch {
    // The journal is damaged or closed: that is told elsewhere, and no reason to lose this line.
    return {};
  }
}
