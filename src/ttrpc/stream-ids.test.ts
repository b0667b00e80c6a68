import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_PASSED_OVER, StreamIds } from "./stream-ids.ts";

const anyIds = fc.array(
  fc.integer({ min: 0, max: 40 }).map((n) => 2 * n + 1),
  { maxLength: 60 },
);

test("every id is taken once, in whatever order ids come", () => {
  fc.assert(
    fc.property(anyIds, (ids) => {
      const used = new Set<number>();
      const streamIds = new StreamIds();
      for (const id of ids) {
        expect(streamIds.use(id)).toBe(!used.has(id));
        used.add(id);
      }
    }),
  );
});

test("an id passed over long ago is refused, so that memory stays bounded", () => {
  const streamIds = new StreamIds();
  const far = 2 ** 32 - 1;
  expect(streamIds.use(far)).toBe(true);
  expect(streamIds.use(far - 2 * MAX_PASSED_OVER)).toBe(true);
  expect(streamIds.use(far - 2 * MAX_PASSED_OVER - 2)).toBe(false);
  expect(streamIds.use(1)).toBe(false);
});
