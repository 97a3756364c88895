/**
 * The payload of a configuration entry: JSON, because it is rare and people read it in dumps.
 *
 *   {"v":1,"voters":[{"id":…,"storeId":…}]}                              as long as there is no learner and no address
 *   {"v":2,"voters":[{"id":…,"storeId":…,"address":…}],"learners":[{"id":…,"storeId":…,"address":…,"promote":…}]}
 */
import { DLedgerError } from './errors.ts'
import type { Configuration, Learner, Member } from './raft/configuration.ts'

export function encodeConfiguration({ voters, learners }: Configuration): Buffer {
  const isPlain = learners.length === 0 && voters.every(({ address }) => address === null)
  const content = isPlain
    ? { v: 1, voters: voters.map(({ id, storeId }) => ({ id, storeId })) }
    : { v: 2, voters: voters.map(memberFields), learners: learners.map(learnerFields) }
  return Buffer.from(JSON.stringify(content))
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
  const { v, voters, learners = [] } = value as { v?: unknown; voters?: unknown; learners?: unknown }
  if (v !== 1 && v !== 2) {
    const what = `the log holds a configuration entry of version ${String(v)}; this program knows up to version 2`
    throw new DLedgerError(what, { code: 'INVALID', what })
  }
  if (!Array.isArray(voters) || !Array.isArray(learners) || voters.length === 0) throw unreadable()
  const configuration = { voters: voters.map(decodeMember), learners: learners.map(decodeLearner) }
  const ids = [...configuration.voters, ...configuration.learners].map((member) => member.id)
  if (new Set(ids).size !== ids.length) throw unreadable()
  return configuration
}

function memberFields({ id, storeId, address }: Member): Member {
  return { id, storeId, address }
}

function learnerFields({ id, storeId, address, promote }: Learner): Learner {
  return { id, storeId, address, promote }
}

function decodeMember(value: unknown): Member {
  if (typeof value !== 'object' || value === null) throw unreadable()
  const { id, storeId, address = null } = value as { id?: unknown; storeId?: unknown; address?: unknown }
  if (typeof id !== 'string' || (storeId !== null && typeof storeId !== 'string')) throw unreadable()
  if (address !== null && typeof address !== 'string') throw unreadable()
  return { id, storeId, address }
}

function decodeLearner(value: unknown): Learner {
  const member = decodeMember(value)
  const { promote } = value as { promote?: unknown }
  if (typeof promote !== 'boolean') throw unreadable()
  return { ...member, promote }
}

function unreadable(): DLedgerError {
  return new DLedgerError('a configuration entry has an unknown shape', { code: 'CORRUPT', file: 'log', at: -1 })
}
