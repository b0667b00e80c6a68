export { inspectJournal, type JournalReport } from "./inspect.ts";
export { Journal } from "./journal.ts";
export { type OwnerLock, takeOwnerLock, tryOwnerLock } from "./lock.ts";
export type {
  JournalCounts,
  JournalHook,
  JournalWrite,
  Preparation,
  Reservation,
  ReserveOutcome,
  Usage,
} from "./operations.ts";
export type { PoolIntent, PoolJournal, PoolPhase, PoolRecord } from "./pool.ts";
export type { RecordedFailure, SandboxPhase, SandboxRecord, VmPhase, VmRecord } from "./records.ts";
export type { SetAside } from "./set-aside.ts";
