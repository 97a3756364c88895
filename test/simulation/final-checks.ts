/** What must be equal at the end, when the group is whole and quiet: the logs, byte for byte. */
import type { Cluster } from './cluster.ts'
import { isNamed } from './membership.ts'
import type { Member } from './member.ts'
import { type LostRange, lostBeyondRepair } from './repairable.ts'
import type { SimDrive } from './sim-drive.ts'
import type { Inode } from './sim-inode.ts'

const INDEX_UNIT_BYTES = 32

export function checkEqualLogs(cluster: Cluster): void {
  const configuration = cluster.invariants.committedConfiguration()?.configuration
  const members = cluster.members.filter((member) =>
    configuration === undefined ? !member.joins : isNamed(configuration, member),
  )
  const model = members[0] as Member
  const { committed } = cluster.invariants
  for (const member of members) {
    const { entries } = member.cacheImage
    for (const entry of committed) {
      if (entries[entry.index]?.chain !== entry.chain) {
        return cluster.violated(`${member.name} lacks entry ${entry.index}, which is committed (7)`)
      }
    }
    if (member !== model) compareFiles(cluster, model, member)
  }
  for (const proposal of cluster.workload.proposals) {
    if (proposal.outcome === 'acknowledged' && proposal.committedAt !== proposal.place?.index) {
      cluster.violated(`proposal ${proposal.id} was acknowledged and is not where it was (20)`)
    }
  }
}

function compareFiles(cluster: Cluster, a: Member, b: Member): void {
  const { fileBytes, indexFileBytes } = cluster.settings
  const count = a.cacheImage.entries.length
  if (b.cacheImage.entries.length !== count)
    return cluster.violated(`${a.name} and ${b.name} hold logs of different length`)
  const endPos = a.cacheImage.endPos
  // What one of them has trimmed is not compared; the file with the first entry that both have is.
  const first = Math.max(a.cacheImage.firstIndex, b.cacheImage.firstIndex)
  const firstPos = a.cacheImage.entries[first]?.pos ?? 0
  const neverRepaired = [...lostBeyondRepair(cluster, a), ...lostBeyondRepair(cluster, b)]
  for (const { kind, size, from, end } of [
    { kind: 'data', size: fileBytes, from: firstPos, end: endPos },
    { kind: 'index', size: indexFileBytes, from: first * INDEX_UNIT_BYTES, end: count * INDEX_UNIT_BYTES },
  ]) {
    for (let start = from - (from % size); start < end; start += size) {
      const [inA, inB] = [fileOf(a, kind, start), fileOf(b, kind, start)]
      if (inA === null || inB === null) return cluster.violated(`a ${kind} file at ${start} is missing`)
      const [at, used] = [Math.max(0, from - start), Math.min(size, end - start)]
      const [bytesA, bytesB] = [bytesOf(inA, used), bytesOf(inB, used)]
      if (kind === 'index') for (const range of neverRepaired) leaveOut(range, start, [bytesA, bytesB])
      if (!bytesA.subarray(at).equals(bytesB.subarray(at))) {
        return cluster.violated(`the ${kind} files at ${start} of ${a.name} and ${b.name} differ`)
      }
    }
    for (const member of [a, b]) checkNothingBeyond(cluster, member, { kind, size, end })
  }
}

/** Index units are made anew with their entries: those of lost ones may have been lost with the power. */
function leaveOut({ firstIndex, lastIndex }: LostRange, start: number, files: readonly Buffer[]): void {
  const from = Math.max(0, firstIndex * INDEX_UNIT_BYTES - start)
  const to = Math.max(from, (lastIndex + 1) * INDEX_UNIT_BYTES - start)
  for (const bytes of files) bytes.fill(0, Math.min(from, bytes.length), Math.min(to, bytes.length))
}

/** Beyond the end there is nothing but zeros, in this file and any later one. A blank that nothing follows is undone. */
function checkNothingBeyond(cluster: Cluster, member: Member, log: { kind: string; size: number; end: number }): void {
  for (const [path, thing] of member.drive.names) {
    const prefix = `${member.directory}/${log.kind}/`
    if (thing === 'directory' || !path.startsWith(prefix)) continue
    const start = Number(path.slice(prefix.length))
    const from = Math.max(0, log.end - start)
    const at = thing.cache.findNonZero(from, Math.max(from, thing.cacheBytes))
    if (at >= 0) cluster.violated(`${path} holds something at its byte ${at}, beyond the end of the log`)
  }
}

function fileOf(member: Member, kind: string, start: number): Inode | null {
  const drive: SimDrive = member.drive
  const thing = drive.names.get(`${member.directory}/${kind}/${String(start).padStart(20, '0')}`)
  return thing === undefined || thing === 'directory' ? null : thing
}

function bytesOf(inode: Inode, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  inode.cache.read(bytes, 0)
  return bytes
}
