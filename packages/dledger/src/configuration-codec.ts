/** The payload of a configuration entry: JSON, because it is rare and people read it in dumps. `{"v":1,"voters":[…]}` */
import { DLedgerError } from './errors.ts'
import type { Configuration, Member } from './raft/configuration.ts'

export function encodeConfiguration(configuration: Configuration): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, voters: configuration.voters }))
}

/** @throws DLedgerError CORRUPT for what is no configuration, INVALID for a newer version. */
export function decodeConfiguration(payload: Buffer): Configuration {
  let value: unknown
  try {
    value = JSON.parse(payload.toString())
  } catch (cause) {
    throw new DLedgerError('a configuration entry is not JSON', { code: 'CORRUPT', file: 'log', at: -1 }, { cause })
  }
  if (typeof value !== 'object' || value === null) throw unreadable()
  const { v, voters } = value as { v?: unknown; voters?: unknown }
  if (v !== 1) {
    const what = `the log holds a configuration entry of version ${String(v)}; this program knows version 1`
    throw new DLedgerError(what, { code: 'INVALID', what })
  }
  if (!Array.isArray(voters)) throw unreadable()
  return { voters: voters.map(decodeMember) }
}

function decodeMember(value: unknown): Member {
  if (typeof value !== 'object' || value === null) throw unreadable()
  const { id, storeId } = value as { id?: unknown; storeId?: unknown }
  if (typeof id !== 'string' || (storeId !== null && typeof storeId !== 'string')) throw unreadable()
  return { id, storeId }
}

function unreadable(): DLedgerError {
  return new DLedgerError('a configuration entry has an unknown shape', { code: 'CORRUPT', file: 'log', at: -1 })
}
