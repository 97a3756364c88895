/** Members in this process, on real files below one directory; closed, and the files gone, when a test is over. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@dledger-ts/base'
import { DLedger } from '../dledger.ts'
import type { DLedgerOptions } from '../dledger-options.ts'
import { MemoryNetwork, MemoryTransport } from '../transport/memory.ts'
import { untilSeen } from './until.ts'

export class OpenedMembers {
  readonly root = mkdtempSync(join(tmpdir(), 'dledger-members-'))
  readonly #settings: Partial<DLedgerOptions>
  readonly #open = new Set<DLedger>()

  /** @param settings of each member, unless its start says otherwise. */
  constructor(settings: Partial<DLedgerOptions>) {
    this.#settings = settings
  }

  /** Those that are open. */
  get members(): DLedger[] {
    return [...this.#open]
  }

  /** @param directory of the member, below the root. */
  async start(directory: string, options: Partial<DLedgerOptions> = {}): Promise<DLedger> {
    const member = await DLedger.open({ directory: join(this.root, directory), ...this.#settings, ...options })
    this.#open.add(member)
    return member
  }

  /**
   * A group over one network in memory.
   *
   * @param optionsOf what a member has of its own.
   * @returns its members, the leader first.
   */
  async startGroup(ids: readonly string[], optionsOf: (id: string) => Partial<DLedgerOptions>): Promise<DLedger[]> {
    const network = new MemoryNetwork(systemClock)
    const members = await Promise.all(
      ids.map((self) => {
        const peers = ids.filter((peer) => peer !== self)
        const transport = new MemoryTransport({ self, network, clock: systemClock, peers })
        return this.start(self, { self, members: ids, transport, ...optionsOf(self) })
      }),
    )
    await untilSeen('a leader', () => members.some((member) => member.status().ready))
    return members.sort((a, b) => Number(b.status().ready) - Number(a.status().ready))
  }

  async stop(member: DLedger): Promise<void> {
    this.#open.delete(member)
    await member.close()
  }

  async close(): Promise<void> {
    const { members } = this
    this.#open.clear()
    await Promise.all(members.map((member) => member.close()))
    rmSync(this.root, { recursive: true, force: true })
  }
}
