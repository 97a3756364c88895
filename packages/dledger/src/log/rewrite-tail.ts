/**
 * Makes true what a start reads behind the durable hint.
 *
 * After a failed fsync the kernel marks the pages that it could not write as clean: they read as they should, the next fsync says
 * yes, and the disk never gets them ("Can Applications Recover from fsync Failures?", ATC'20). A start after an unclean stop cannot
 * know whether that happened. So it writes the same bytes again, which makes the pages dirty, before the sync that makes them count.
 *
 * Keeps: after the sync that follows, the disk holds the log as it was read, and zeros behind its end in the last file.
 */
import { INDEX_UNIT_BYTES } from './index-codec.ts'
import { type DurableHint, type RecoveredLog, UNSYNCED_INDEX_UNITS_MAX } from './recovery.ts'
import { fileStartOf } from './layout.ts'
import { corruptAt, type SegmentDirectory } from './segment-directory.ts'

const CHUNK_BYTES = 1 << 20
const READS_MAX = 8
/** The hint is a fraction of a second old, so there is never that much; what lies further back is taken as synced. */
const REWRITE_BYTES_MAX = 1 << 30

/** Writes again; the caller syncs. */
export function rewriteTail(
  data: SegmentDirectory,
  index: SegmentDirectory,
  { hint, found }: { readonly hint: DurableHint | null; readonly found: RecoveredLog },
): void {
  const { firstIndex, firstEndPos, lastIndex, endPos } = found
  const dataFrom = Math.max(hint?.endPos ?? 0, firstEndPos, data.starts[0] ?? 0, endPos - REWRITE_BYTES_MAX)
  rewrite(data, dataFrom, endPos)
  // A truncation whose sync failed left zeros that are none on the disk.
  if (data.has(fileStartOf(endPos, data.fileBytes))) data.cutFileAt(endPos)
  const unitsFrom = Math.max(firstIndex, Math.min(hint?.index ?? 0, lastIndex) - UNSYNCED_INDEX_UNITS_MAX, 0)
  rewrite(index, Math.max(unitsFrom * INDEX_UNIT_BYTES, index.starts[0] ?? 0), (lastIndex + 1) * INDEX_UNIT_BYTES)
}

function rewrite(segments: SegmentDirectory, from: number, to: number): void {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  for (let pos = from; pos < to;) {
    const start = fileStartOf(pos, segments.fileBytes)
    const bytes = chunk.subarray(0, Math.min(chunk.length, to - pos, start + segments.fileBytes - pos))
    // A file that is missing is left to those who make it again.
    if (segments.has(start)) {
      readAgreed(segments, pos, bytes)
      segments.writeSync(pos, bytes)
    }
    pos += bytes.length
  }
}

/** What is written again would be there for good: a drive that gives other bytes but once is asked until it says the same twice. */
function readAgreed(segments: SegmentDirectory, pos: number, bytes: Buffer): void {
  const before = Buffer.allocUnsafe(bytes.length)
  segments.readSync(pos, bytes)
  for (let reads = 1; reads < READS_MAX; reads++) {
    bytes.copy(before)
    segments.readSync(pos, bytes)
    if (bytes.equals(before)) return
  }
  throw corruptAt(segments, pos, 'it reads differently each time')
}
