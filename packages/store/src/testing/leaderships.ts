/** Stores over one log in memory, which lead one after another: what a failover leaves, without members and elections. */
import { MemoryMetadata } from '../metadata/memory-metadata.ts'
import type { StoreCore } from '../store-core.ts'
import { close, type CoreOptions, load, makeCore, TempDirectory } from './fixture.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryLog } from './memory-log.ts'

export class Leaderships {
  readonly temp = new TempDirectory()
  readonly clock = new ManualClock()
  readonly log: MemoryLog
  readonly #more: Partial<CoreOptions>
  readonly #cores: StoreCore[] = []
  #made = 0

  /** @param more of the stores; with a size of log files the log has files. */
  constructor(more: Partial<CoreOptions> = {}) {
    this.#more = more
    this.log = new MemoryLog(more.fileBytes ?? null)
  }

  /** A store that does not lead yet; a new one, or the one that left `metadata` in `directory`. */
  async open(
    metadata = new MemoryMetadata(this.clock),
    directory = `${this.temp.path}/${this.#made++}`,
  ): Promise<StoreCore> {
    const core = makeCore({ ...this.#more, directory, clock: this.clock, metadata })
    this.#cores.push(core)
    await load(core)
    return core
  }

  /** The next leader, as `open` opens it. */
  async leader(metadata?: MemoryMetadata, directory?: string): Promise<StoreCore> {
    const core = await this.open(metadata, directory)
    this.log.lead(core)
    return core
  }

  async close(): Promise<void> {
    for (const core of this.#cores.splice(0)) await close(core)
    this.temp.remove()
  }
}
