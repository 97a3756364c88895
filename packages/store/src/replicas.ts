/** How far the other members are: what their leader knows, in bytes of the log. */
import { type DLedger, DLedgerError } from '@dledger-ts/dledger'
import type { Replica } from './api.ts'
import { physicalOffsetOf } from './log-place.ts'

/** Entries of the log's own have no place that can be asked for; the one before is looked at. */
const LOOKED_AT_MAX = 8

interface Applied {
  readonly index: number
  readonly physicalEnd: number
}

export function replicasOf(log: Pick<DLedger, 'status' | 'read'>, applied: Applied): Promise<readonly Replica[]> {
  const { peers, commitIndex } = log.status()
  return Promise.all(
    peers.map(async ({ id, connected, advertised, matchIndex }) => ({
      id,
      connected,
      advertised,
      inSync: connected && matchIndex !== null && matchIndex >= commitIndex,
      physicalEnd: matchIndex === null ? null : await physicalEndOf(log, matchIndex, applied),
    })),
  )
}

async function physicalEndOf(log: Pick<DLedger, 'read'>, index: number, applied: Applied): Promise<number | null> {
  if (index >= applied.index) return applied.physicalEnd
  try {
    for (let at = index; at >= 0 && at > index - LOOKED_AT_MAX; at--) {
      const entry = await log.read(at)
      if (entry !== null) return physicalOffsetOf(entry.pos) + entry.body.length
    }
  } catch (error) {
    // Trimmed or damaged: only a place is missing in what is told.
    if (!(error instanceof DLedgerError)) throw error
  }
  return null
}
