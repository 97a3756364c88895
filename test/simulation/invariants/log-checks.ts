/** What stands in the logs on the drives, as it comes and goes (2, 3, 4, 9, 14). */
import type { Configuration } from '@dledger-ts/dledger/internals'
import type { ImageEntry } from '../log-image.ts'
import { CONFIGURATION_CHANNEL } from '../membership.ts'
import type { Member } from '../member.ts'
import type { Observed } from './observed.ts'

/** (index, term) as one number. */
const TERMS_MAX = 100_000

export class LogChecks {
  readonly #observed: Observed
  readonly #chainAt = new Map<number, number>()

  constructor(observed: Observed) {
    this.#observed = observed
  }

  /** Looks at what changed in a member's log on its drive. */
  look(member: Member, options: { readonly comparing: boolean } = { comparing: true }): void {
    const { cacheImage } = member
    const change = cacheImage.refresh()
    const { entries } = cacheImage
    if (options.comparing && (member.life === 'up' || member.life === 'closing')) {
      for (const old of change.before) {
        if (entries[old.index]?.chain === old.chain) continue
        this.#cut(member, old)
        break
      }
    }
    for (let i = change.from; i < entries.length; i++) this.#appeared(member, entries[i] as ImageEntry)
  }

  /** `old` and all after it are no longer in the member's log. */
  #cut(member: Member, old: ImageEntry): void {
    const role = member.node?.role
    const last = this.#observed.committed[old.index]
    if (last !== undefined && last.chain === old.chain) {
      this.#observed.violated(`${member.name} cut entry ${old.index} of its log, which is committed (14)`)
    }
    if (role?.role === 'LEADER' && old.term === role.term) {
      this.#observed.violated(`${member.name} leads term ${role.term} and cut its own entry ${old.index} (2)`)
    }
  }

  /**
   * Before the next configuration, the one before is committed, and an entry of the same term; they differ by one voter at most, so
   * that their majorities meet (9).
   */
  #configurationAppeared(member: Member, entry: ImageEntry): void {
    const { entries } = member.cacheImage
    const next = this.#observed.configurations.of(member, entry)
    let at = entry.index - 1
    while (at >= 0 && entries[at]?.channel !== CONFIGURATION_CHANNEL) at--
    const before = entries[at]
    if (before !== undefined && this.#observed.committed[at]?.chain !== before.chain) {
      this.#observed.violated(
        `${member.name} holds configuration ${entry.index}, and the one before, ${at}, is not committed (9)`,
      )
    }
    if (!this.#observed.committed.some(({ term }) => term === entry.term)) {
      this.#observed.violated(
        `configuration ${entry.index} of term ${entry.term} comes before its term has anything committed (9)`,
      )
    }
    const former = before === undefined ? undefined : this.#observed.configurations.known(before)
    if (former === undefined) return
    const names = ({ voters }: Configuration): string[] => voters.map(({ id, storeId }) => `${id} ${storeId}`)
    const [was, is] = [names(former), names(next)]
    const bound = former.voters.filter(({ storeId }) => storeId === null).length
    const differing = was.filter((name) => !is.includes(name)).length + is.filter((name) => !was.includes(name)).length
    if (differing - 2 * bound > 1) {
      this.#observed.violated(
        `configuration ${entry.index} has more than one voter less or more than the one before (9)`,
      )
    }
  }

  #appeared(member: Member, entry: ImageEntry): void {
    if (entry.channel === CONFIGURATION_CHANNEL) this.#configurationAppeared(member, entry)
    const key = entry.index * TERMS_MAX + entry.term
    const known = this.#chainAt.get(key)
    if (known === undefined) this.#chainAt.set(key, entry.chain)
    else if (known !== entry.chain) {
      this.#observed.violated(
        `two logs hold different entries ${entry.index} of term ${entry.term}, one of them ${member.name} (3)`,
      )
    }
    // What was written before may show again when a write over it was lost: only what is new was written now.
    const committed = known === undefined ? this.#observed.committed[entry.index] : undefined
    if (committed !== undefined && entry.term > (this.#observed.committedIn[entry.index] as number)) {
      this.#observed.violated(
        `the leader of term ${entry.term} wrote entry ${entry.index}, where term ${committed.term}'s is committed (4)`,
      )
    }
  }
}
