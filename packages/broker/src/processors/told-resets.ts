/**
 * Consumers that were told where their group goes on (21), and have not shown yet that they heard it.
 *
 * Keeps: a reset ends when a consumer stands there, not when it is told: the answer may be lost. One that pulls from there
 *   - and has consumed all before, stands there, told or not;
 *   - and says nothing of what it consumed, as lite and simple pull consumers, stands there when it was told;
 *   - and says that it has consumed otherwise, did not hear it. It is told TELLS_MAX times: its client may never say anything else.
 */
import { type PullMessageRequest, PullSysFlag } from '@dledger-ts/remoting'

/** How often a consumer is told that pulls from there. */
const TELLS_MAX = 3
/** Consumers in one queue each; of those beyond, the ones told longest ago are told once more. */
const TOLD_MAX = 10_000

interface Told {
  readonly offset: number
  /** Of those that were answers to a pull from there. */
  readonly timesThere: number
}

export class ToldResets {
  readonly #told = new Map<string, Told>()

  /** @param consumer where it calls from. */
  hasHeard(consumer: string, header: PullMessageRequest, offset: number): boolean {
    if (header.queueOffset !== offset) return false
    const commits = (header.sysFlag & PullSysFlag.COMMIT_OFFSET) !== 0
    if (offset === 0 || (commits && header.commitOffset === offset)) return true
    const told = this.#told.get(keyOf(consumer, header))
    if (told?.offset !== offset) return false
    return !commits || told.timesThere >= TELLS_MAX
  }

  tell(consumer: string, header: PullMessageRequest, offset: number): void {
    const key = keyOf(consumer, header)
    const before = this.#told.get(key)
    this.#told.delete(key)
    if (this.#told.size >= TOLD_MAX) this.#told.delete(this.#told.keys().next().value ?? '')
    const timesBefore = before?.offset === offset ? before.timesThere : 0
    this.#told.set(key, { offset, timesThere: timesBefore + (header.queueOffset === offset ? 1 : 0) })
  }

  forget(consumer: string, header: PullMessageRequest): void {
    this.#told.delete(keyOf(consumer, header))
  }
}

function keyOf(consumer: string, { consumerGroup, topic, queueId }: PullMessageRequest): string {
  return `${consumer}\0${consumerGroup}\0${topic}\0${queueId}`
}
