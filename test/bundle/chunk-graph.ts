import type { OutputChunk } from "rolldown";

/** Files of a bundle, and what each loads. */
export class ChunkGraph {
  readonly #chunks: ReadonlyMap<string, OutputChunk>;

  constructor(chunks: readonly OutputChunk[]) {
    this.#chunks = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
  }

  /** The file that a dynamic import of this source loads. */
  entryOf(source: string): OutputChunk {
    const found = [...this.#chunks.values()].find(({ facadeModuleId }) =>
      facadeModuleId?.endsWith(`/${source}`),
    );
    if (found === undefined) throw new Error(`the bundle has no file of its own for ${source}`);
    return found;
  }

  /** What is in memory when these have been loaded, and nothing that they load later. */
  loadedWith(sources: readonly string[]): Loaded {
    const files = new Set<OutputChunk>();
    const add = (chunk: OutputChunk): void => {
      if (files.has(chunk)) return;
      files.add(chunk);
      for (const name of chunk.imports) {
        const next = this.#chunks.get(name);
        if (next !== undefined) add(next);
      }
    };
    for (const source of sources) add(this.entryOf(source));
    const modules = [...files].flatMap((chunk) =>
      Object.entries(chunk.modules).flatMap(([id, { renderedLength }]) => (renderedLength > 0 ? [id] : [])),
    );
    return {
      bytes: [...files].reduce((sum, { code }) => sum + Buffer.byteLength(code), 0),
      packages: [
        ...new Set(modules.flatMap((id) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id)?.[1] ?? [])),
      ].sort(),
      folders: [
        ...new Set(modules.flatMap((id) => /\/((?:src|providers)\/[^/]+)\//.exec(id)?.[1] ?? [])),
      ].sort(),
    };
  }
}

export interface Loaded {
  readonly bytes: number;
  readonly packages: readonly string[];
  /** Ours: `src/tls`, `providers/azure`. */
  readonly folders: readonly string[];
}
