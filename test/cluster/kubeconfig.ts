interface Access {
  readonly url: string;
  readonly caFile: string;
  readonly token: string;
}

/** A kubeconfig file with one cluster and user; JSON is YAML too. */
export function kubeconfigText({ url, caFile, token }: Access): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server: url, "certificate-authority": caFile } }],
    users: [{ name: "test", user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  });
}
