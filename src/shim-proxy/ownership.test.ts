import { expect, test } from "vitest";
import type { Event } from "../gen/shimproxy/control.ts";
import { Ownership } from "./ownership.ts";

const setUp = () => {
  const told: string[] = [];
  const ownership = new Ownership({
    onOwner: (session) => told.push(`owner ${session.epoch}`),
    onOwnerGone: (session, how) => told.push(`${session.epoch} ${how}`),
  });
  const attach = (epoch: bigint, room = Number.POSITIVE_INFINITY) => {
    const seen: Event[] = [];
    const ends: string[] = [];
    const session = { epoch, frameSocket: "/f" };
    ownership.attach(
      session,
      {
        write: (event) => {
          if (seen.length >= room) return false;
          seen.push(event);
          return true;
        },
        end: (reason) => ends.push(reason),
      },
      () => [{ snapshotEnd: {} }],
    );
    return { session, seen, ends };
  };
  return { told, ownership, attach };
};

const left: Event = { callerLeft: { sandboxId: "s1", method: "StartVM" } };

test("an owner that does not read its events is taken for dead", () => {
  const { told, ownership, attach } = setUp();
  const owner = attach(1n, 2);
  ownership.recovered(1n);
  ownership.emit(left);
  expect(ownership.current).toBe(owner.session);
  ownership.emit(left);
  expect(ownership.current).toBeUndefined();
  expect(owner.ends).toEqual(["stuck"]);
  expect(told).toEqual(["owner 1", "1 died"]);
  ownership.emit(left);
});

test("an owner that is replaced has died, one that is released has not, and a late end of its stream means nothing", () => {
  const { told, ownership, attach } = setUp();
  const first = attach(1n);
  ownership.recovered(1n);
  const second = attach(2n);
  expect(() => ownership.recovered(1n)).toThrow(/epoch 1 is over/);
  ownership.streamEnded(first.session);
  ownership.release(2n);
  ownership.streamEnded(second.session);
  expect(told).toEqual(["owner 1", "1 died", "owner 2", "2 released"]);
  expect([first.ends, second.ends]).toEqual([["replaced"], ["released"]]);
  expect(() => ownership.check(2n)).toThrow(/not attached/);
  expect(() => attach(1n)).toThrow(/epoch 1 is over/);
  attach(2n);
});

test("an owner that never recovered has worked on nothing that could have killed it", () => {
  const { told, ownership, attach } = setUp();
  const owner = attach(1n);
  ownership.streamEnded(owner.session);
  expect(told).toEqual(["owner 1", "1 released"]);
});

test("the snapshot comes before anything is asked or told", () => {
  const { ownership, attach } = setUp();
  const { seen } = attach(1n);
  ownership.emit(left);
  expect(seen).toEqual([{ snapshotEnd: {} }, left]);
});
