import { styleText } from "node:util";
import { expect, test } from "vitest";
import { duration, printable, spokenDuration, table } from "./table.ts";

test("columns are as wide as what is seen of their cells, colours apart", () => {
  const red = styleText("red", "no", { validateStream: false });
  expect(
    table(
      ["A", "BB", ""],
      [
        ["x", red, "rest of it"],
        ["yyy", "b", ""],
      ],
    ),
  ).toBe(`A    BB\nx    ${red}  rest of it\nyyy  b\n`);
});

test.each([
  [0, "0s", "0 s"],
  [41_000, "41s", "41 s"],
  [312_000, "5m12s", "5 min 12 s"],
  [300_000, "5m", "5 min"],
  [3 * 3_600_000 + 4 * 60_000 + 5000, "3h4m", "3 h 4 min"],
  [3_605_000, "1h", "1 h"],
  [2 * 86_400_000 + 7 * 3_600_000, "2d7h", "2 d 7 h"],
  [-5, "0s", "0 s"],
])("%d ms is %s", (ms, short, spoken) => {
  expect([duration(ms), spokenDuration(ms)]).toEqual([short, spoken]);
});

test("what a cloud or a console says cannot move the cursor or recolour the terminal", () => {
  expect(printable("a\u001b[2Jb\u001b]0;title\u0007c\u202ed\ne\tf")).toBe("abc?d\ne\tf");
});
