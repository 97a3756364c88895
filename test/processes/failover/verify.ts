/**
 * The checks after the failovers. Each returns what it found wrong, in words; nothing is wrong when all return nothing.
 *
 *   order      what one sender sent to one queue stands there in the order in which it was acknowledged
 *   by offset  each acknowledged message is at the physical offset of its acknowledgement, at every member (request 33)
 *   by queue   each queue has every offset once, and what was acknowledged is where it was acknowledged, at every member
 *   files      the members' log files are equal byte for byte, and hold each acknowledged message at its offset
 */
import { decodeRecord, getProperty, type MessageRecord, parseOffsetMsgId, PropertyName } from '@dledger-ts/protocol'
import type { Admin } from '../group/admin.ts'
import type { Acknowledged } from '../group/delivery-ledger.ts'
import type { BrokerStatus } from '../group/fast-try.ts'
import { firstDifference, logDirectory, readEntries, readFiles } from '../group/log-files.ts'
import { paddedBody } from './load.ts'

const VIEWS_AT_ONCE = 32
const ENTRY_HEADER_BYTES = 48
const DATA_CHANNEL = 0

function physicalOffsetOf(message: Acknowledged): number {
  return parseOffsetMsgId(message.msgId).physicalOffset
}

function numberOf(message: Acknowledged): number {
  return Number(message.key.slice(message.key.lastIndexOf('-') + 1))
}

function place(message: { queueId: number; queueOffset: number }): string {
  return `${message.queueId}/${message.queueOffset}`
}

/** Why this record is not this message, or undefined. */
function mismatch(record: MessageRecord, message: Acknowledged): string | undefined {
  const key = getProperty(record.properties, PropertyName.KEYS)
  if (key !== message.key) return `holds ${key}`
  if (record.body.toString() !== paddedBody(message.key)) return 'has another body'
  if (place(record) !== place(message)) return `says it is at ${place(record)}, not at ${place(message)}`
  if (record.physicalOffset !== physicalOffsetOf(message)) return `says its offset is ${record.physicalOffset}`
  return undefined
}

export function orderViolations(acknowledged: readonly Acknowledged[]): string[] {
  const violations: string[] = []
  const inOrder = acknowledged.toSorted((a, b) => numberOf(a) - numberOf(b))
  for (const [i, message] of inOrder.entries()) {
    const before = inOrder[i - 1]
    if (before === undefined) continue
    if (before.queueId !== message.queueId || before.queueOffset >= message.queueOffset) {
      violations.push(`${before.key} is at ${place(before)}, ${message.key} at ${place(message)}`)
    }
  }
  return violations
}

export async function offsetViolations(
  admin: Admin,
  broker: BrokerStatus,
  all: readonly Acknowledged[],
): Promise<string[]> {
  const violations: string[] = []
  const queue = all.values()
  const lane = async () => {
    for (const message of queue) {
      const offset = physicalOffsetOf(message)
      try {
        const wrong = mismatch(await admin.viewMessage(broker.addr, offset), message)
        if (wrong !== undefined) violations.push(`${broker.id}: offset ${offset} of ${message.key} ${wrong}`)
      } catch (failure) {
        violations.push(`${broker.id}: ${message.key} at offset ${offset}: ${String(failure)}`)
      }
    }
  }
  await Promise.all(Array.from({ length: VIEWS_AT_ONCE }, lane))
  return violations
}

export async function queueViolations(
  admin: Admin,
  broker: BrokerStatus,
  queues: { topic: string; count: number },
  all: readonly Acknowledged[],
): Promise<string[]> {
  const violations: string[] = []
  const promised = new Map(all.map((message) => [place(message), message]))
  for (let queueId = 0; queueId < queues.count; queueId++) {
    const records = await admin.pullAll(broker.addr, queues.topic, queueId)
    for (const [i, record] of records.entries()) {
      const at = `${queueId}/${i}`
      if (place(record) !== at) violations.push(`${broker.id}: ${at} holds the record of ${place(record)}`)
      const message = promised.get(at)
      promised.delete(at)
      const wrong = message === undefined ? undefined : mismatch(record, message)
      if (wrong !== undefined) violations.push(`${broker.id}: ${at}, where ${message?.key} was acknowledged, ${wrong}`)
    }
  }
  for (const message of promised.values()) violations.push(`${broker.id}: ${message.key} is not at ${place(message)}`)
  return violations
}

export function fileViolations(brokers: readonly BrokerStatus[], all: readonly Acknowledged[]): string[] {
  const violations: string[] = []
  const logs = brokers.map(({ id, storePath }) => {
    const directory = logDirectory(storePath)
    return { id, data: readFiles(directory, 'data'), index: readFiles(directory, 'index') }
  })
  const [first, ...others] = logs
  if (first === undefined) return ['there are no members']
  for (const other of others) {
    for (const kind of ['data', 'index'] as const) {
      const difference = firstDifference(first[kind], other[kind])
      if (difference !== undefined) violations.push(`${kind} of ${first.id} and ${other.id} differ: ${difference}`)
    }
  }
  const entries = new Map(readEntries(first.data).entries.map((entry) => [entry.pos, entry]))
  for (const message of all) {
    const entry = entries.get(physicalOffsetOf(message) - ENTRY_HEADER_BYTES)
    const wrong =
      entry?.channel === DATA_CHANNEL ? mismatch(decodeRecord(entry.body), message) : 'is not there: no entry of data'
    if (wrong !== undefined) violations.push(`file: ${message.key} at offset ${physicalOffsetOf(message)} ${wrong}`)
  }
  return violations
}
