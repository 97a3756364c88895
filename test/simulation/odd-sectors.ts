/** Sectors that cannot be read for a while, and sectors behind the end of a log that hold what nobody wrote there. */
import type { Cluster } from './cluster.ts'
import type { Member } from './member.ts'
import { anyEntry, fileAt } from './rotting.ts'
import type { Fault } from './schedule.ts'
import { type Inode, SECTOR_BYTES } from './sim-inode.ts'

const LITTER_BYTES_MAX = 1_024
const INDEX_UNIT_BYTES = 32

/** The sector in which some entry begins; null where there is none. */
export function sectorOf(
  { settings }: Cluster,
  member: Member,
  place: number,
): { inode: Inode; from: number; to: number } | null {
  const entry = anyEntry(member, place)
  const found = entry === null ? null : fileAt(member, 'data', entry.pos, entry.size, settings.fileBytes)
  if (found === null) return null
  const from = found.from - (found.from % SECTOR_BYTES)
  return { inode: found.inode, from, to: from + SECTOR_BYTES }
}

/**
 * After a power loss: bytes of anything in the room that the last file has behind all that reached it. Not in a gap before that: there
 * they would be what rot behind the last known sync is, which may look like a torn tail (`rotting.ts`).
 */
export function litterBehindTheEnd(
  { decisions }: Cluster,
  member: Member,
  { target, seed }: Extract<Fault, { kind: 'litter' }>,
): void {
  const { drive, directory, durableImage } = member
  const prefix = `${directory}/${target}/`
  const paths = [...drive.durableNames.keys()].filter((path) => path.startsWith(prefix)).sort()
  const last = paths.at(-1)
  const inode = last === undefined ? undefined : drive.durableNames.get(last)
  if (last === undefined || inode === undefined || inode === 'directory') return
  durableImage.refresh()
  const used = target === 'data' ? durableImage.endPos : durableImage.entries.length * INDEX_UNIT_BYTES
  // An entry may end with zeros.
  const from = Math.max(used - Number(last.slice(prefix.length)), endOf(inode))
  if (from >= inode.durableBytes) return
  // Behind zeros, or at once.
  const begin = from + decisions.below('zeros before litter', seed, 0, 2) * decisions.below('litter', seed, 0, 700)
  const end = Math.min(inode.durableBytes, begin + 1 + decisions.below('litter', seed, 1, LITTER_BYTES_MAX))
  for (let at = begin; at < end; at++) {
    const value = decisions.below('byte of litter', seed, at, 256)
    if (value !== 0) inode.spoil(at, value)
  }
}

/** Behind the last byte that is not zero. */
function endOf({ durable, durableBytes }: Inode): number {
  const bytes = Buffer.alloc(durableBytes)
  durable.read(bytes, 0)
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}
