/**
 * Damage to what members have stored: where it may happen, and that it happens.
 *
 * Within the budget an entry is only spoiled on a member while most of the others hold it intact and durably: then nothing
 * committed may be lost, and everything must be whole again at the end. Beyond the budget anything may be spoiled, and only
 * detection is asked for. Both keep to entries up to the durable hint: rot behind it, with nothing after it, looks like a torn
 * tail; that is the stated limit.
 */
import type { Cluster } from './cluster.ts'
import type { ImageEntry } from './log-image.ts'
import type { Member } from './member.ts'
import { isSettledGroup, leavesToLearnersAlone, mayLosePowerWhileVotersGo } from './membership.ts'
import type { Fault } from './schedule.ts'
import { type Inode, SECTOR_BYTES } from './sim-inode.ts'

const INDEX_UNIT_BYTES = 32
/** The hard state: two slots, then a copy of each. */
const RECORDS = 4
const RECORD_BYTES = 4096

type Rot = Extract<Fault, { kind: 'rot' }>
type LostFile = Extract<Fault, { kind: 'loseFile' }>

interface Place {
  readonly inode: Inode
  readonly path: string
  readonly from: number
  readonly to: number
}

/** @returns what is to happen, or null when the budget allows nothing. */
export function rotOf(cluster: Cluster, member: Member, fault: Rot): (() => void) | null {
  if (fault.target === 'hardState') {
    const place = recordOf(member, fault.place)
    return place === null ? null : () => spoil(cluster, place, fault)
  }
  // What is read but once is within any budget: nothing of it is lost.
  const entry = fault.how === 'staleOnce' ? anyEntry(member, fault.place) : chosen(cluster, member, fault.place)
  if (entry === null) return null
  const { fileBytes, indexFileBytes } = cluster.settings
  const place =
    fault.target === 'data'
      ? fileAt(member, 'data', entry.pos, entry.size, fileBytes)
      : fileAt(member, 'index', entry.index * INDEX_UNIT_BYTES, INDEX_UNIT_BYTES, indexFileBytes)
  if (place === null) return null
  return () => spoil(cluster, place, fault)
}

/** The whole file that holds some entry, or its end. @returns null when the budget does not allow it. */
export function lostFileOf(cluster: Cluster, member: Member, fault: LostFile): (() => void) | null {
  const entry = chosen(cluster, member, fault.place)
  if (entry === null) return null
  const { fileBytes, indexFileBytes } = cluster.settings
  if (fault.target === 'index') {
    const place = fileAt(member, 'index', entry.index * INDEX_UNIT_BYTES, INDEX_UNIT_BYTES, indexFileBytes)
    return place === null ? null : () => lose(member, place, fault.how)
  }
  const place = fileAt(member, 'data', entry.pos, entry.size, fileBytes)
  if (place === null) return null
  const start = entry.pos - (entry.pos % fileBytes)
  const inFile = member.durableImage.entries.filter((one) => one.pos >= start && one.pos < start + fileBytes)
  // The blank behind the last of them is covered by the hint only with the next entry.
  const next = member.durableImage.entries[(inFile.at(-1)?.index ?? -1) + 1]
  if (next === undefined || next.index > (member.durableVote.read().durableHint?.index ?? -1)) return null
  const isAllowed = inFile.every((one) => one.index >= member.durableImage.firstIndex && maySpoil(cluster, member, one))
  return isAllowed ? () => lose(member, place, fault.how) : null
}

function chosen(cluster: Cluster, member: Member, place: number): ImageEntry | null {
  member.durableImage.refresh()
  const { firstIndex, entries } = member.durableImage
  const allowed = entries.slice(firstIndex).filter((entry) => maySpoil(cluster, member, entry))
  return allowed[Math.floor((place * allowed.length) / 1000)] ?? null
}

/** Any that the member holds durably. */
export function anyEntry({ durableImage }: Member, place: number): ImageEntry | null {
  durableImage.refresh()
  const held = durableImage.entries.slice(durableImage.firstIndex)
  return held[Math.floor((place * held.length) / 1000)] ?? null
}

function maySpoil(cluster: Cluster, member: Member, entry: ImageEntry): boolean {
  const { profile } = cluster.schedule
  if (cluster.isAboutMembership && profile !== 'mixed') return false
  if (entry.index > (member.durableVote.read().durableHint?.index ?? -1)) return false
  if (profile === 'beyond') return true
  if (cluster.invariants.committed[entry.index]?.chain !== entry.chain) return false
  if (cluster.isAboutMembership) return othersVotersHold(cluster, member, entry)
  const others = cluster.members.filter((one) => one !== member && !one.isSpare)
  const intact = others.filter((other) => holdsIntact(cluster, other, entry)).length
  return intact * 2 > others.length
}

/** Most of the other voters have it, where every voter has its disk and no change is under way: then a voter fewer leaves enough. */
function othersVotersHold(cluster: Cluster, member: Member, entry: ImageEntry): boolean {
  if (cluster.changesUnderWay > 0 || !isSettledGroup(cluster)) return false
  const others = votersOf(cluster).filter((one) => one !== member)
  const intact = others.filter((other) => holdsIntact(cluster, other, entry)).length
  return others.length > 1 && intact * 2 > others.length
}

/** Whether all that the voters hold is as it was written: only then a disk may be lost, or a voter go. */
export function areUndamaged(cluster: Cluster): boolean {
  if (!cluster.isDamaged) return true
  return votersOf(cluster).every((member) => {
    member.durableImage.refresh()
    const { firstIndex, entries } = member.durableImage
    return entries.slice(firstIndex).every((entry) => holdsIntact(cluster, member, entry))
  })
}

function votersOf({ invariants, members }: Cluster): readonly Member[] {
  const voters = invariants.committedConfiguration()?.configuration.voters ?? []
  return members.filter((member) => voters.some(({ id }) => id === member.name))
}

function holdsIntact(cluster: Cluster, member: Member, entry: ImageEntry): boolean {
  member.durableImage.refresh()
  // What was trimmed is in the state. Only a leader gives that, and after a power cut under ASYNC_FLUSH there may be none without the
  // vote of the very member that lacks it.
  if (entry.index < member.durableImage.firstIndex) return cluster.schedule.flush === 'SYNC_FLUSH'
  if (member.durableImage.entries[entry.index]?.chain !== entry.chain) return false
  const place = fileAt(member, 'data', entry.pos, entry.size, cluster.settings.fileBytes)
  return place !== null && !place.inode.isDamaged(place.from, place.to)
}

/**
 * Under ASYNC_FLUSH, once most have lost their power, a leader needs everybody's vote and the newest log. Whoever has damage in what the
 * others have trimmed meanwhile cannot lead, and only a leader gives it a state: no such cut then.
 */
export function mayLosePowerTogether(cluster: Cluster): boolean {
  return !cluster.losesPowerOneByOne && isThereALeaderAmong(cluster)
}

/** As before, where one loses its power: what it takes with it may be on the damaged member besides, and nowhere else. */
export function mayLosePower(cluster: Cluster, member: Member): boolean {
  if (!mayLosePowerWhileVotersGo(cluster, member) || !isThereALeaderAmong(cluster)) return false
  return !leavesToLearnersAlone(cluster, member)
}

function isThereALeaderAmong(cluster: Cluster): boolean {
  if (cluster.schedule.flush === 'SYNC_FLUSH' || !cluster.isDamaged) return true
  const members = cluster.members.filter((member) => !member.isSpare)
  for (const member of members) member.durableImage.refresh()
  return members.every((member) => {
    const { firstIndex, entries } = member.durableImage
    const trimmed = Math.max(...members.map((other) => other.durableImage.firstIndex))
    return entries.slice(firstIndex, trimmed).every((entry) => holdsIntact(cluster, member, entry))
  })
}

/** Of the two copies that each slot of the hard state has, one at most is spoiled. */
function recordOf(member: Member, place: number): Place | null {
  const path = `${member.directory}/hard-state`
  const inode = member.drive.names.get(path)
  if (inode === undefined || inode === 'directory' || member.drive.durableNames.get(path) !== inode) return null
  const from = (place % RECORDS) * RECORD_BYTES
  const other = (from + (RECORDS / 2) * RECORD_BYTES) % (RECORDS * RECORD_BYTES)
  // A copy that is just being written is not there yet; one that was torn has only the other one.
  if (inode.hasPendingWrites || member.life !== 'up') return null
  return inode.isDamaged(other, other + RECORD_BYTES) ? null : { inode, path, from, to: from + RECORD_BYTES }
}

export function fileAt(member: Member, kind: string, pos: number, size: number, fileBytes: number): Place | null {
  const from = pos % fileBytes
  const path = `${member.directory}/${kind}/${String(pos - from).padStart(20, '0')}`
  const inode = member.drive.names.get(path)
  // What is not there durably is not what is acknowledged.
  if (inode === undefined || inode === 'directory' || member.drive.durableNames.get(path) !== inode) return null
  return member.drive.missing.has(path) ? null : { inode, path, from, to: from + size }
}

function spoil({ decisions, events }: Cluster, { inode, from, to }: Place, { how, seed }: Rot): void {
  if (how === 'flip') {
    const present = Buffer.alloc(to - from)
    inode.cache.read(present, from)
    const flips = 1 + decisions.below('flips', seed, 0, 3)
    for (let i = 0; i < flips; i++) {
      const at = decisions.below('flipped byte', seed, i, present.length)
      inode.spoil(from + at, (present[at] as number) ^ (1 << decisions.below('flipped bit', seed, i, 8)))
    }
    return
  }
  const first = from - (from % SECTOR_BYTES)
  const sectors = Math.ceil((to - first) / SECTOR_BYTES)
  const drawn = first + decisions.below('sector', seed, 0, sectors) * SECTOR_BYTES
  // One of it, as far as it is of this entry: never written, written over by what belonged elsewhere, or as it once was.
  const place = { inode, from, to }
  if (how === 'lostWrite') return replace(place, drawn, Buffer.alloc(SECTOR_BYTES), false)
  if (how === 'misdirected') {
    const other = Buffer.alloc(SECTOR_BYTES)
    inode.cache.read(other, decisions.below('other sector', seed, events.nowUs % 97, 4) * SECTOR_BYTES)
    return replace(place, drawn, other, false)
  }
  // A record is written as a whole.
  const isRecord = to - from === RECORD_BYTES
  for (let sector = isRecord ? from : drawn; sector < (isRecord ? to : drawn + SECTOR_BYTES); sector += SECTOR_BYTES) {
    const former = inode.formerSector(sector, (count) => decisions.below('former content', seed, 0, count))
    if (former !== null) replace(place, sector, former, how === 'staleOnce')
  }
}

/** From now on, or once, what is read of a place in this sector is `other`. */
function replace({ inode, from, to }: Omit<Place, 'path'>, sector: number, other: Buffer, once: boolean): void {
  const present = Buffer.alloc(SECTOR_BYTES)
  inode.cache.read(present, sector)
  for (let at = Math.max(from, sector); at < Math.min(to, sector + SECTOR_BYTES); at++) {
    const value = other[at - sector] as number
    if (value === present[at - sector]) continue
    if (once) inode.spoilOnce(at, value)
    else inode.spoil(at, value)
  }
}

function lose(member: Member, { inode, path, from }: Place, how: LostFile['how']): void {
  inode.cut(how === 'missing' ? 0 : from)
  if (how === 'missing') member.drive.missing.add(path)
}
