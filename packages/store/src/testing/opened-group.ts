/** Stores of three members over one network in memory, on real files and by the clock of this process; closed when a test is over. */
import { systemClock } from '@dledger-ts/base'
import { MemoryNetwork, MemoryTransport } from '@dledger-ts/dledger'
import { MessageStore } from '../message-store.ts'
import type { MessageStoreOptions } from '../options.ts'
import { TempDirectory } from './fixture.ts'
import { until } from './manual-clock.ts'

export const IDS: readonly string[] = ['n0', 'n1', 'n2']

export class OpenedGroup {
  readonly temp = new TempDirectory()
  readonly #network = new MemoryNetwork(systemClock)
  readonly #options: Partial<MessageStoreOptions>
  readonly #open = new Map<string, MessageStore>()

  /** @param options of each member, beside those that make it one. */
  constructor(options: Partial<MessageStoreOptions>) {
    this.#options = options
  }

  /** Those that are open. */
  get stores(): MessageStore[] {
    return [...this.#open.values()]
  }

  directory(self: string): string {
    return `${this.temp.path}/${self}`
  }

  async start(self: string, more: Partial<MessageStoreOptions> = {}): Promise<MessageStore> {
    const store = await MessageStore.open({
      dir: this.directory(self),
      self,
      group: 'g',
      peers: IDS.map((id) => ({ id, host: 'memory', port: 1 })),
      transport: new MemoryTransport({ self, network: this.#network, clock: systemClock, peers: IDS }),
      advertised: `${self}.example:10911`,
      tickMs: 10,
      heartbeatMs: 20,
      electionTimeoutMs: 500,
      onFatal: (error) => {
        throw error
      },
      ...this.#options,
      ...more,
    })
    this.#open.set(self, store)
    return store
  }

  /** All three at once. @returns the one that leads. */
  async startAll(): Promise<MessageStore> {
    await Promise.all(IDS.map((self) => this.start(self)))
    return this.leader()
  }

  async leader(): Promise<MessageStore> {
    const find = (): MessageStore | undefined => this.stores.find((store) => store.isReady())
    await until(() => find() !== undefined, 'there is a leader')
    return find() as MessageStore
  }

  follower(): MessageStore {
    return this.stores.find((store) => !store.isReady()) as MessageStore
  }

  async stop(store: MessageStore): Promise<void> {
    this.#open.delete(store.status().self)
    await store.close()
  }

  async stopAll(): Promise<void> {
    const { stores } = this
    this.#open.clear()
    await Promise.all(stores.map((store) => store.close()))
  }

  async close(): Promise<void> {
    await this.stopAll()
    this.temp.remove()
  }
}
