/**
 * Lost entries that a member is expected to get again: those that nobody has trimmed, and those that another one can still give.
 *
 * The rest it will never have: what it needs of them comes with a state, or goes with its own next trim.
 */
import type { LogNode } from '@dledger-ts/dledger/internals'
import type { Cluster } from './cluster.ts'
import type { Member } from './member.ts'
import { isNamed } from './membership.ts'

export type LostRange = LogNode['lost'][number]

export function isToBeRepaired(cluster: Cluster, member: Member, range: LostRange): boolean {
  const trimmedUpTo = Math.max(...cluster.members.map((other) => other.cacheImage.firstIndex))
  if (range.lastIndex >= trimmedUpTo) return true
  const configuration = cluster.invariants.committedConfiguration()?.configuration
  return cluster.members.some((other) => {
    const isAsked = configuration === undefined ? !other.isSpare : isNamed(configuration, other)
    return other !== member && isAsked && canGive(other, range)
  })
}

/** Found to be damaged there, too, it counts for nothing: it will be found at the latest when it is asked for. */
function canGive({ isUp, node }: Member, { firstIndex, lastIndex }: LostRange): boolean {
  if (!isUp || node === null || node.firstIndex > firstIndex) return false
  return !node.lost.some((range) => range.firstIndex <= lastIndex && range.lastIndex >= firstIndex)
}

export function lostBeyondRepair(cluster: Cluster, member: Member): readonly LostRange[] {
  const { node } = member
  if (!member.isUp || node === null) return []
  return node.lost.filter((range) => !isToBeRepaired(cluster, member, range))
}
