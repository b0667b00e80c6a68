import type { KubeConfig } from "@kubernetes/client-node";
import { describeError, invalidConfig } from "../../errors/index.ts";

/**
 * The cluster's address and credentials: of the kubeconfig file given, else the service account of the pod that this process
 * runs in. The client library is loaded here and not before: it is large. Throws `invalid-config`.
 */
export async function kubeConfig(kubeconfigFile: string): Promise<KubeConfig> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  try {
    if (kubeconfigFile !== "") config.loadFromFile(kubeconfigFile);
    else config.loadFromCluster();
  } catch (cause) {
    const where = kubeconfigFile === "" ? "the pod's service account" : kubeconfigFile;
    throw invalidConfig(
      `the cluster's address and credentials cannot be read from ${where}: ${describeError(cause)}`,
      { cause },
    );
  }
  return config;
}
