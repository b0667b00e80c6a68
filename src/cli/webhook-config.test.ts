import { describe, expect, test } from "vitest";
import { readWebhookConfig } from "./webhook-config.ts";

const read = (env: Record<string, string> = {}) => readWebhookConfig({ flags: new Map(), env });

describe("the webhook's configuration", () => {
  test("of nothing is that of the Go webhook, with certificates of its own", () => {
    const config = read();
    expect(config.policy).toMatchObject({
      runtimeClass: "kata-remote",
      extendedResource: "kata.peerpods.io/vm",
      initContainers: "sum",
      unknownResources: "strip",
      badAnnotations: "warn",
      gpuResources: ["nvidia.com/gpu"],
      defaultCpu: 0n,
      allowedMachineTypes: undefined,
      chooseEnclaveMachine: undefined,
    });
    expect(config.server).toMatchObject({ address: "", port: 9443, healthPort: 8081 });
    expect(config.certificates).toMatchObject({
      from: "cluster",
      options: {
        namespace: "confidential-containers-system",
        secretName: "peer-pods-webhook-cert",
        configurationName: "peer-pods-webhook",
        dnsNames: [
          "peer-pods-webhook.confidential-containers-system.svc",
          "peer-pods-webhook.confidential-containers-system.svc.cluster.local",
        ],
        validityMs: 90 * 24 * 3_600_000,
        overlapMs: 3_600_000,
      },
    });
  });

  test("takes the runtime class under both names, and refuses two", () => {
    expect(read({ TARGET_RUNTIMECLASS: "a" }).policy.runtimeClass).toBe("a");
    expect(read({ TARGET_RUNTIME_CLASS: "b" }).policy.runtimeClass).toBe("b");
    expect(() => read({ TARGET_RUNTIMECLASS: "a", TARGET_RUNTIME_CLASS: "b" })).toThrow(/differ/);
  });

  test("reads the adaptor's own sizes", () => {
    const azure = { CLOUD_PROVIDER: "azure", AZURE_INSTANCE_SIZES: "Standard_DC2s_v3,Standard_DC2as_v5" };
    const { policy } = read(azure);
    expect(policy.allowedMachineTypes?.names).toEqual(["Standard_DC2s_v3", "Standard_DC2as_v5"]);
    const request = { machineType: "", vcpus: 1, memoryMiB: 8192, gpus: 0, epcMiB: 10 };
    expect(policy.chooseEnclaveMachine?.(request)).toBe("Standard_DC2s_v3");
    const larger = { ...request, vcpus: 2 };
    expect(policy.chooseEnclaveMachine?.(larger)).toBe("Standard_DC2s_v3");
    expect(() => read({ ...azure, POD_VM_SIZING: "aks" }).policy.chooseEnclaveMachine?.(larger)).toThrow(
      /3 vCPU/,
    );
    expect(read({ CLOUD_PROVIDER: "azure" }).policy.allowedMachineTypes?.names).toEqual([
      "Standard_DC2as_v5",
    ]);
    const ibm = { CLOUD_PROVIDER: "ibmcloud", IBMCLOUD_PODVM_INSTANCE_PROFILE_NAME: "bx2-2x8" };
    expect(read(ibm).policy).toMatchObject({
      allowedMachineTypes: { names: ["bx2-2x8"], key: "IBMCLOUD_PODVM_INSTANCE_PROFILE_LIST" },
      chooseEnclaveMachine: undefined,
    });
  });

  test("with a folder of certificates asks for nothing of the cluster", () => {
    expect(read({ PEERPODS_WEBHOOK_CERT_DIR: "/certs" }).certificates).toEqual({
      from: "folder",
      folder: "/certs",
    });
  });

  test("names all that is wrong at once", () => {
    const wrong = () =>
      read({
        PEERPODS_WEBHOOK_INIT_POLICY: "max",
        PEERPODS_WEBHOOK_DEFAULT_CPU: "much",
        TLS_MIN_VERSION: "VersionTLS11",
        PEERPODS_WEBHOOK_CERT_VALIDITY: "2h",
        PEERPODS_WEBHOOK_PORT: "0",
      });
    for (const text of [
      /^5 settings are wrong/,
      /PEERPODS_WEBHOOK_INIT_POLICY.*sum or effective/,
      /PEERPODS_WEBHOOK_DEFAULT_CPU.*500m/,
      /TLS_MIN_VERSION=VersionTLS11/,
      /PEERPODS_WEBHOOK_CERT_OVERLAP is more than a quarter/,
      /PEERPODS_WEBHOOK_PORT/,
    ]) {
      expect(wrong).toThrow(text);
    }
  });
});
