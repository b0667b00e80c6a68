import type { SharedTask } from "./shared-task.ts";

/** What runs for one sandbox now. What has happened is in the journal. */
export interface Activity {
  create?: SharedTask<string>;
  createText?: string;
  start?: SharedTask<void>;
  stop?: SharedTask<void>;
  /** What a start is waiting for, for people. */
  progress?: string;
}

/** The activities of all sandboxes; one that does nothing is not kept. */
export class Activities {
  readonly #all = new Map<string, Activity>();

  get(id: string): Activity | undefined {
    return this.#all.get(id);
  }

  of(id: string): Activity {
    let activity = this.#all.get(id);
    if (activity === undefined) {
      activity = {};
      this.#all.set(id, activity);
    }
    return activity;
  }

  /** Forgets the task, which is the activity's `key`, when it has ended. */
  track(id: string, task: SharedTask<unknown>, key: "create" | "start" | "stop"): void {
    void task.settled().then(() => {
      const activity = this.#all.get(id);
      if (activity === undefined || activity[key] !== task) return;
      delete activity[key];
      if (key === "create") delete activity.createText;
      if (key === "start") delete activity.progress;
      if (!activity.create && !activity.start && !activity.stop) this.#all.delete(id);
    });
  }

  /** Resolves when what runs now has ended. */
  async settled(): Promise<void> {
    const tasks = [...this.#all.values()].flatMap((a) =>
      [a.create, a.start, a.stop].filter((task) => task !== undefined),
    );
    await Promise.all(tasks.map((task) => task.settled()));
  }
}
