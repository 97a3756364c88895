/** What is applied, and what clients are told of it (5, 11, 20). */
import { crc32 } from '@dledger-ts/base'
import type { CommittedEntry } from '@dledger-ts/dledger/internals'
import type { Member } from '../member.ts'
import type { ClientProposal } from '../workload.ts'
import type { CommitChecks } from './commit-checks.ts'
import type { Observed } from './observed.ts'

export class ApplyChecks {
  readonly #observed: Observed
  readonly #commits: CommitChecks

  constructor(observed: Observed, commits: CommitChecks) {
    this.#observed = observed
    this.#commits = commits
  }

  applied(member: Member, entry: CommittedEntry): void {
    this.#commits.noticeCommit(member)
    const committed = this.#observed.committed[entry.index]
    if (committed === undefined) {
      this.#observed.violated(`${member.name} applied ${entry.index}, which is not committed (11)`)
      return
    }
    if (committed.term !== entry.term || committed.pos !== entry.pos || committed.bodyCrc !== crc32(entry.body)) {
      this.#observed.violated(`${member.name} applied another entry ${entry.index} than what is committed there (5)`)
    }
    if (entry.kind === 'data' && !this.#countedUpTo(entry.index)) {
      this.#observed.options.workload.committedEntry(entry.index, entry.body)
    }
  }

  /** Data entries are counted when first applied by anybody, in order. */
  #countedUpTo(index: number): boolean {
    if (index < this.#observed.counted) return true
    this.#observed.counted = index + 1
    return false
  }

  acknowledged(member: Member, proposal: ClientProposal): void {
    this.#commits.noticeCommit(member)
    const place = proposal.place
    if (place === null) return
    const committed = this.#observed.committed[place.index]
    if (committed === undefined || committed.term !== place.term || committed.pos !== place.pos) {
      this.#observed.violated(
        `proposal ${proposal.id} was acknowledged at ${place.index}, where it is not committed (6, 20)`,
      )
    } else if (proposal.committedAt !== place.index) {
      this.#observed.violated(
        `proposal ${proposal.id} was acknowledged at ${place.index} and applied at ${proposal.committedAt} (20)`,
      )
    }
  }
}
