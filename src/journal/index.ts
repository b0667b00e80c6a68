export { inspectJournal, type JournalReport } from "./inspect.ts";
export {
  Journal,
  type JournalHook,
  type Preparation,
  type Reservation,
  type ReserveOutcome,
  type Usage,
} from "./journal.ts";
export { type OwnerLock, takeOwnerLock, tryOwnerLock } from "./lock.ts";
export type { RecordedFailure, SandboxPhase, SandboxRecord, VmPhase, VmRecord } from "./records.ts";
