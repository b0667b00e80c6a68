/** What happens in a webhook's life, for metrics. */
export type WebhookNotice =
  | {
      readonly kind: "review";
      /** `changed` and `untouched` pods were allowed; `failed`: there was no answer, by a fault of ours. */
      readonly outcome: "changed" | "untouched" | "refused" | "failed";
      readonly durationMs: number;
    }
  /** A certificate is served from now on. */
  | { readonly kind: "certificate"; readonly notAfterMs: number };
