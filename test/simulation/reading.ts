/** Reads every entry on every member, until all are as they were written: what was damaged has to be found and repaired. */
import { crc32 } from '@dledger-ts/base'
import type { NodeStatus } from '@dledger-ts/dledger'
import type { DLedgerError } from '@dledger-ts/dledger/internals'
import type { Cluster } from './cluster.ts'
import type { Member } from './member.ts'
import { isNamed } from './membership.ts'
import { isToBeRepaired, type LostRange } from './repairable.ts'
import { US_PER_MS } from './sim-clock.ts'

const HEADER_BYTES = 48
const REPAIR_MS_MAX = 20_000
const AGAIN_MS = 50

export function expectRepair(cluster: Cluster): void {
  const members = membersOf(cluster)
  const readers = members.map((member) => new Reader(cluster, member))
  for (const reader of readers) reader.next()
  cluster.run(cluster.nowMs + REPAIR_MS_MAX, () =>
    readers.every((reader) => reader.isDone && toBeRepaired(cluster, reader.member).length === 0),
  )
  if (cluster.violation !== null) return
  for (const { isDone, member, index } of readers) {
    if (!isDone) return cluster.violated(`${member.name} still cannot read entry ${index}`)
    const lost = toBeRepaired(cluster, member)
    if (lost.length > 0) return cluster.violated(`${member.name} has still lost ${JSON.stringify(lost)}`)
  }
  checkNoDamage(cluster, members)
}

/** Those of the group: nobody repairs who was removed from it. */
function membersOf({ invariants, members }: Cluster): readonly Member[] {
  const configuration = invariants.committedConfiguration()?.configuration
  return members.filter((one) => !one.isSpare && (configuration === undefined || isNamed(configuration, one)))
}

class Reader {
  readonly member: Member
  readonly #cluster: Cluster
  readonly #lastIndex: number
  index: number

  constructor(cluster: Cluster, member: Member) {
    this.#cluster = cluster
    this.member = member
    this.index = member.node?.firstIndex ?? 0
    this.#lastIndex = member.node?.appliedIndex ?? -1
  }

  get isDone(): boolean {
    return this.index > this.#lastIndex
  }

  next(): void {
    const { node } = this.member
    if (this.isDone || node === null) return
    this.index = Math.max(this.index, node.firstIndex)
    const wanted = this.index
    node.read(wanted, wanted, 0, (error, batch) => {
      if (error !== null) {
        const { code } = error as DLedgerError
        if (code !== 'CORRUPT' && code !== 'TRIMMED')
          this.#cluster.violated(`${this.member.name} cannot read entry ${wanted}: ${error.message}`)
        // What others have trimmed is not filled in any more; where it is in no checkpoint here, the next start is waited for.
        const isTrimmedElsewhere = this.#cluster.members.some((other) => (other.node?.firstIndex ?? 0) > wanted)
        if (code === 'CORRUPT' && isTrimmedElsewhere) this.index++
        this.#later(AGAIN_MS)
        return
      }
      if (batch === null) return this.#cluster.violated(`${this.member.name} read nothing at ${wanted}`)
      let at = 0
      for (let i = 0; i < batch.count; i++) {
        const size = batch.sizes[i] as number
        const committed = this.#cluster.invariants.committed[batch.firstIndex + i]
        const body = batch.bytes.subarray(at + HEADER_BYTES, at + size)
        if (batch.firstIndex + i === wanted && committed?.bodyCrc !== crc32(body))
          this.#cluster.violated(`${this.member.name} read other bytes than were committed at ${wanted} (5)`)
        at += size
      }
      this.index++
      this.#later(0)
    })
  }

  #later(ms: number): void {
    this.#cluster.events.schedule(ms * US_PER_MS, 'read on', this.member, () => this.next())
  }
}

function lostBy(member: Member): NodeStatus['lost'] {
  return member.isUp && member.node !== null ? member.node.lost : []
}

function toBeRepaired(cluster: Cluster, member: Member): readonly LostRange[] {
  if (!member.isUp || member.node === null) return []
  return member.node.lost.filter((range) => isToBeRepaired(cluster, member, range))
}

/** What is read anywhere in the log is what was written there. */
function checkNoDamage(cluster: Cluster, members: readonly Member[]): void {
  const { fileBytes, indexFileBytes } = cluster.settings
  for (const member of members) {
    if (!member.isUp) continue
    const { entries, firstIndex } = member.cacheImage
    const lost = lostBy(member)
    for (const { index, pos, size } of entries.slice(firstIndex)) {
      if (lost.some((range) => range.firstIndex <= index && index <= range.lastIndex)) continue
      const damaged =
        isDamaged(member, 'data', { pos, size, fileBytes }) ||
        isDamaged(member, 'index', { pos: index * 32, size: 32, fileBytes: indexFileBytes })
      if (damaged) return cluster.violated(`${member.name} has entry ${index} and does not notice its damage`)
    }
  }
}

function isDamaged(member: Member, kind: string, place: { pos: number; size: number; fileBytes: number }): boolean {
  const from = place.pos % place.fileBytes
  const path = `${member.directory}/${kind}/${String(place.pos - from).padStart(20, '0')}`
  const inode = member.drive.names.get(path)
  if (inode === undefined || inode === 'directory') return false
  return member.drive.missing.has(path) || inode.damage.touches(from, from + place.size)
}
