/** Three brokers of one group in one process, over real connections, without name servers. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '@dledger-ts/dledger/internals'
import { Broker } from '../broker.ts'
import { brokerConfig } from './broker-fixture.ts'

export class BrokerGroup {
  readonly brokers: readonly Broker[]
  readonly #directory: string

  private constructor(brokers: readonly Broker[], directory: string) {
    this.brokers = brokers
    this.#directory = directory
  }

  static async start(keys: Record<string, string> = {}): Promise<BrokerGroup> {
    const directory = await mkdtemp(join(tmpdir(), 'broker-group-'))
    const ports = await freePorts(3)
    const dLegerPeers = ports.map((port, i) => `n${i}-127.0.0.1:${port}`).join(';')
    const brokers = ports.map((_, i) => {
      const own = { enableDLegerCommitLog: 'true', dLegerPeers, dLegerSelfId: `n${i}` }
      return new Broker(brokerConfig(join(directory, `n${i}`), { ...own, ...keys }))
    })
    const group = new BrokerGroup(brokers, directory)
    await Promise.all(brokers.map((broker) => broker.start()))
    await Promise.all(brokers.map(async (broker) => broker.store?.whenSettled()))
    return group
  }

  /** Waits until one of those that are open leads. */
  async leader(): Promise<Broker> {
    for (;;) {
      const leader = this.brokers.find((broker) => broker.store?.isReady() === true)
      if (leader !== undefined) return leader
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.close()))
    await rm(this.#directory, { recursive: true, force: true })
  }
}
