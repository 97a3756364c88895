/** Entries of a batch as a state machine is given them: one object each, the bodies slices of the batch. */
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from '../log/entry-batch.ts'
import { channelAt } from '../log/entry-codec.ts'
import type { CommittedEntry } from '../state-machine.ts'
import { offsetIn } from './hot-tail.ts'

/** The entries [from, to], which are in the batch. */
export function committedEntries(batch: EntryBatch, from: number, to: number): CommittedEntry[] {
  const entries: CommittedEntry[] = []
  let at = offsetIn(batch, from)
  for (let index = from; index <= to; index++) {
    const size = batch.sizes[index - batch.firstIndex] as number
    entries.push({
      index,
      term: batch.term,
      pos: batch.positions[index - batch.firstIndex] as number,
      kind: kindOf(channelAt(batch.bytes, at)),
      body: batch.bytes.subarray(at + ENTRY_HEADER_BYTES, at + size),
    })
    at += size
  }
  return entries
}

function kindOf(channel: number): CommittedEntry['kind'] {
  if (channel === EntryChannel.NOOP) return 'noop'
  if (channel === EntryChannel.TRIM) return 'trim'
  return channel === EntryChannel.CONFIGURATION ? 'configuration' : 'data'
}
