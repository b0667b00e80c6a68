import { expect, test } from "vitest";
import { checkNamespace } from "./namespace.ts";

test("the node's own network is refused, under whatever name", async () => {
  for (const path of ["/proc/self/ns/net", `/proc/${process.pid}/ns/net`])
    await expect(checkNamespace(path)).rejects.toMatchObject({
      code: 3,
      message: expect.stringContaining("hostNetwork"),
    });
});

test("what is no namespace is refused", async () => {
  for (const path of ["", "relative", "/", "/etc/hostname", "/nowhere"])
    await expect(checkNamespace(path)).rejects.toMatchObject({ code: 3 });
});
