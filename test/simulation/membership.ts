/**
 * Who belongs to a simulated group: what is promised of lost disks and of changes, and what a configuration counts.
 *
 * The promise: one disk is lost or set back at a time, of three voters or more, while no change is under way, and only when every
 * other member knows the identity (and the life) that is lost, durably. A majority that never met it could not tell.
 */
import { type Configuration, decodeConfiguration, type Member as Named } from '@dledger-ts/dledger/internals'
import type { Cluster } from './cluster.ts'
import type { ImageEntry, LogImage } from './log-image.ts'
import type { Member } from './member.ts'

export const CONFIGURATION_CHANNEL = 2
/** Lives are counted in the high bits of an incarnation; see the layout of the hard state. */
const LIFE = 2 ** 20

/** Read from entries of the drives; each entry is decoded once. */
export class Configurations {
  readonly #decoded = new Map<number, Configuration>()

  of(member: Member, entry: ImageEntry): Configuration {
    let configuration = this.#decoded.get(entry.chain)
    if (configuration === undefined) {
      configuration = decodeConfiguration(member.cacheImage.bodyOf(entry))
      this.#decoded.set(entry.chain, configuration)
    }
    return configuration
  }

  /** Of an entry that somebody has been seen to hold. */
  known(entry: ImageEntry): Configuration | undefined {
    return this.#decoded.get(entry.chain)
  }
}

/** Whether a lost disk of `member`, now, is within the promise. */
export function mayLose(cluster: Cluster, member: Member): boolean {
  const { invariants, members } = cluster
  const newest = invariants.committedConfiguration()
  if (newest === null || newest.configuration.voters.length < 3 || cluster.changesUnderWay > 0) return false
  if (!newest.configuration.voters.some(({ id }) => id === member.name)) return false
  if (!isSettledGroup(cluster)) return false
  return members.every((other) => {
    if (other.isSpare || other === member) return true
    other.durableImage.refresh()
    // Removed before it ever heard of the group, a founder would found it once more, with the one whose disk is empty.
    if (!isNamed(newest.configuration, other)) return other.joins || other.durableImage.lastIndex >= 0
    return other.durableImage.entries[newest.index]?.chain === invariants.committed[newest.index]?.chain
  })
}

/** Every voter has its disk, and nothing is under way that would leave fewer voters. */
export function isSettledGroup(cluster: Cluster): boolean {
  const newest = cluster.invariants.committedConfiguration()
  if (newest === null || !isIntact(cluster)) return false
  return cluster.members.every((member) => {
    if (member.isSpare) return true
    member.durableImage.refresh()
    const images = [member.durableImage.entries, member.cacheImage.entries]
    if (images.some((entries) => hasConfigurationBeyond(entries, newest.index))) return false
    // Nor in memory, while the disk takes nothing.
    const { node } = member
    return node === null || member.role === null || node.raft.configurationIndex <= newest.index
  })
}

/**
 * Whether a power cut of `member`, now, is within the promise. Under ASYNC_FLUSH, where voters go, it is one member at a time: what all
 * voters had lost together a learner, or who was removed, could still hold and have applied, without a vote to bring it back by.
 */
export function mayLosePowerWhileVotersGo(cluster: Cluster, member: Member): boolean {
  if (!cluster.losesPowerOneByOne) return true
  if (cluster.changesUnderWay > 0 || !isSettledGroup(cluster)) return false
  const voters = cluster.invariants.committedConfiguration()?.configuration.voters ?? []
  const others = cluster.members.filter((other) => other !== member && voters.some(({ id }) => id === other.name))
  return others.length > 0 && !others.some(lacksWhatItCountedFor)
}

/**
 * Whether a power cut of `member`, now, would leave something committed to learners alone: they do not follow any more then, which is a known
 * limit of ASYNC_FLUSH.
 */
export function leavesToLearnersAlone({ invariants, members, schedule }: Cluster, member: Member): boolean {
  const voters = invariants.committedConfiguration()?.configuration.voters ?? []
  const isVoter = (one: Member): boolean => voters.some(({ id }) => id === one.name)
  if (schedule.flush === 'SYNC_FLUSH' || !isVoter(member)) return false
  const others = members.filter((one) => one !== member && !one.isSpare)
  member.durableImage.refresh()
  for (const entry of invariants.committed.toReversed()) {
    const holds = ({ firstIndex, entries }: LogImage): boolean =>
      firstIndex > entry.index || entries[entry.index]?.chain === entry.chain
    if (holds(member.durableImage)) return false
    const holders = others.filter(({ cacheImage }) => holds(cacheImage))
    if (holders.length > 0) return !holders.some(isVoter)
  }
  return false
}

/** Whether a voter may go, now: where power is lost at all under ASYNC_FLUSH, once nobody lacks anything because of it. */
export function maySpareVoters(cluster: Cluster): boolean {
  return isIntact(cluster) && !(cluster.losesPowerOneByOne && cluster.members.some(lacksWhatItCountedFor))
}

/** It lost what was in its page cache only, and has not got it back, or does not know that durably. */
function lacksWhatItCountedFor(member: Member): boolean {
  return member.lostTails.length > 0 || member.durableVote.read().recovering === true
}

/** As `mayLose`, for a disk that goes back to an image of the life `incarnation`: every other member has met a later one. */
export function mayGoBack(cluster: Cluster, member: Member, image: { storeId: string; incarnation: number }): boolean {
  if (!mayLose(cluster, member)) return false
  if (member.durableVote.read().storeId !== image.storeId) return false
  const restored = Math.floor(image.incarnation / LIFE) + 1
  const configuration = cluster.invariants.committedConfiguration()?.configuration
  return cluster.members.every((other) => {
    if (other === member || other.isSpare || configuration === undefined || !isNamed(configuration, other)) return true
    const known = other.durableVote.read().knownPeers?.[member.name]
    return known !== undefined && known.storeId === image.storeId && Math.floor(known.incarnation / LIFE) >= restored
  })
}

/** Whether all voters of the newest committed configuration have the disks under which they are known. */
export function isIntact({ invariants, members }: Cluster): boolean {
  const configuration = invariants.committedConfiguration()?.configuration
  if (configuration === undefined) return false
  return configuration.voters.every(({ id, storeId }) => {
    const member = members.find((one) => one.name === id)
    // An old image bears the name of the store that was lost until peers tell it so.
    const isThere = storeId !== null && member?.durableVote.read().storeId === storeId
    return isThere && !member.lostLogs.has(storeId)
  })
}

export function isNamed({ voters, learners }: Configuration, { name }: Member): boolean {
  return voters.some(({ id }) => id === name) || learners.some(({ id }) => id === name)
}

/**
 * What the store of this voter holds and promised: on the disk of `member`, or on one that it has lost. An old image bears the name of
 * the lost store until peers tell it so, and an acknowledgement of that may still be on its way.
 */
export function promisedBy(voter: Named, member: Member, present: () => readonly ImageEntry[]): readonly ImageEntry[] {
  const lost = voter.storeId === null ? undefined : member.lostLogs.get(voter.storeId)
  if (lost !== undefined) return lost
  return voter.storeId === null || member.durableVote.read().storeId === voter.storeId ? present() : []
}

function hasConfigurationBeyond(entries: readonly ImageEntry[], index: number): boolean {
  for (let at = entries.length - 1; at > index; at--) if (entries[at]?.channel === CONFIGURATION_CHANNEL) return true
  return false
}
