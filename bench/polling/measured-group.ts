/** Three brokers in processes of their own, without a name server, that tell what they use. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePorts } from '@dledger-ts/dledger/internals'
import type { BrokerState, BrokerUsage, BrokerWish } from './broker-process.ts'

const MEMBERS = 3
const LEADER_WAIT_MS = 100

export class MeasuredGroup {
  readonly #directory: string
  readonly #members: ChildProcess[]
  #leader: ChildProcess | null = null

  private constructor(directory: string, members: ChildProcess[]) {
    this.#directory = directory
    this.#members = members
  }

  static async start(flush: string): Promise<MeasuredGroup> {
    const directory = mkdtempSync(join(tmpdir(), 'bench-polling-'))
    const ports = await freePorts(MEMBERS)
    const peers = ports.map((port, i) => `n${i}-127.0.0.1:${port}`).join(';')
    const program = fileURLToPath(new URL('broker-process.js', import.meta.url))
    const members = ports.map((_, i) =>
      fork(program, [join(directory, `n${i}`), `n${i}`, peers, flush], { execArgv: ['--expose-gc'] }),
    )
    await Promise.all(members.map((member) => once(member, 'message')))
    return new MeasuredGroup(directory, members)
  }

  /** Waits for one. @returns its address for clients. */
  async leader(): Promise<string> {
    for (;;) {
      for (const member of this.#members) {
        const state = await ask<BrokerState>(member, 'status')
        if (!state.isLeader) continue
        this.#leader = member
        return state.address
      }
      await sleep(LEADER_WAIT_MS)
    }
  }

  /** Of the leader. */
  async usage(): Promise<BrokerUsage> {
    if (this.#leader === null) throw new Error('nobody leads yet')
    return ask<BrokerUsage>(this.#leader, 'usage')
  }

  async close(): Promise<void> {
    const ended = this.#members.map((member) => once(member, 'exit'))
    for (const member of this.#members) member.disconnect()
    await Promise.all(ended)
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

async function ask<Answer>(member: ChildProcess, wish: BrokerWish): Promise<Answer> {
  const answered = once(member, 'message')
  member.send(wish)
  const [answer] = (await answered) as [Answer]
  return answer
}
