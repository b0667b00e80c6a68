import { describeError } from "../errors/index.ts";
import type { Log } from "../platform/index.ts";
import type { LifecycleNotice } from "../sandbox/index.ts";

/** Who wants to know what happens in the life of pods. Must not wait. */
export type NoticeSink = (notice: LifecycleNotice) => void;

/** Tells every sink; one that fails keeps no other from being told. */
export class NoticeHub {
  readonly #log: Log;
  readonly #sinks: NoticeSink[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  add(sink: NoticeSink): void {
    this.#sinks.push(sink);
  }

  readonly tell: NoticeSink = (notice) => {
    for (const sink of this.#sinks) {
      try {
        sink(notice);
      } catch (error) {
        this.#log.warn("a notice of the lifecycle could not be dealt with", {
          step: notice.kind,
          error: describeError(error),
        });
      }
    }
  };
}
