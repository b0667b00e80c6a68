/** What a VM is booted with. */
export interface BootOrder {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Decoded. */
  readonly userData: string;
  readonly interfaces: number;
}

/** Where the fake's VMs run. */
export interface Booter {
  /** Starts a VM; resolves with one address for each interface when it is up. */
  boot(order: BootOrder, signal: AbortSignal): Promise<readonly string[]>;
  /** Ends it; resolves when it is gone. */
  kill(name: string): Promise<void>;
  setUserData?(name: string, userData: string): Promise<void>;
}

/** No machine at all: addresses of 10.1.0.0/16, counted up. */
export function nullBooter(): Booter {
  let next = 4;
  return {
    async boot({ interfaces }) {
      return Array.from({ length: interfaces }, () => {
        next += 1;
        return `10.1.${Math.floor(next / 250)}.${next % 250}`;
      });
    },
    kill: async () => undefined,
  };
}
