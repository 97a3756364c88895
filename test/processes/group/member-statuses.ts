/** What the members of a group say of themselves, asked directly: without the cost of a process for each question. */
import type { BrokerStatus, FastTry } from './fast-try.ts'
import { until, untilTrue } from './until.ts'

const ANSWER_MS = 1_000
const WAIT_MS = 60_000

export type MemberStatus = Pick<BrokerStatus, 'id' | 'pid' | 'addr' | 'role' | 'commitIndex' | 'appliedIndex'>

export class MemberStatuses {
  readonly #group: Pick<FastTry, 'metricsPorts'>

  constructor(group: Pick<FastTry, 'metricsPorts'>) {
    this.#group = group
  }

  /** Those that answer. */
  async all(): Promise<MemberStatus[]> {
    const answers = await Promise.all(this.#group.metricsPorts.map((port) => statusAt(port)))
    return answers.filter((answer) => answer !== undefined)
  }

  /** Waits for a leader, another one than `not` where that is given. */
  leader(not?: string): Promise<MemberStatus> {
    return until('a member leads', WAIT_MS, async () => {
      return (await this.all()).find(({ id, role }) => role === 'LEADER' && id !== not)
    })
  }

  /** Waits until every member has applied what the leader has committed by now. */
  async caughtUp(): Promise<void> {
    const target = (await this.leader()).commitIndex ?? 0
    await untilTrue(`all members have applied entry ${target}`, WAIT_MS, async () => {
      const all = await this.all()
      const count = all.filter(({ role, appliedIndex }) => role !== null && (appliedIndex ?? -1) >= target).length
      return count === this.#group.metricsPorts.length
    })
  }
}

async function statusAt(port: number): Promise<MemberStatus | undefined> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/status`, { signal: AbortSignal.timeout(ANSWER_MS) })
    return (await answer.json()) as MemberStatus
  } catch {
    // Down or starting.
    return undefined
  }
}
