import { readFileSync } from "node:fs";

/** Where the kubelet tells a pod its namespace, with the service account's token. */
export const NAMESPACE_FILE: string = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/** The namespace of the pod that this process runs in; "" where no file tells it. */
export function ownNamespace(file: string = NAMESPACE_FILE): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}
