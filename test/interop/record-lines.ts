/**
 * What a log holds, as the lines that the Java programs print: told from the bytes of the files alone, so that neither side's
 * idea of them is taken for granted.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'
import { crc32 } from '@dledger-ts/base'
import {
  compressionOf,
  decodeProperties,
  decodeRecord,
  delayOfLevel,
  type HostAddress,
  isQueued,
  javaHash,
  type MessageRecord,
  MessageSysFlag,
  parseDelayLevels,
} from '@dledger-ts/protocol'

const ENTRY_MAGIC = 1
const ENTRY_HEADER_BYTES = 48
const SCHEDULE = 'SCHEDULE_TOPIC_XXXX'

/** Every record of a log, in order. @param directory `…/dledger-n0`. */
export function recordsOf(directory: string): MessageRecord[] {
  const data = join(directory, 'data')
  const records: MessageRecord[] = []
  for (const name of readdirSync(data).sort()) {
    const bytes = readFileSync(join(data, name))
    for (let at = 0; at + 8 <= bytes.length && bytes.readInt32BE(at) === ENTRY_MAGIC;) {
      const size = bytes.readInt32BE(at + 4)
      records.push(decodeRecord(bytes.subarray(at + ENTRY_HEADER_BYTES, at + size)))
      at += size
    }
  }
  return records
}

export function recordLine(record: MessageRecord): string {
  const body = plainBody(record)
  return [
    'record',
    record.physicalOffset,
    record.totalSize,
    record.topic,
    record.queueId,
    record.queueOffset,
    // Java's decoder clears the bit of a body that it has unpacked.
    record.sysFlag & ~MessageSysFlag.COMPRESSED,
    record.flag,
    record.bornTimestamp,
    record.storeTimestamp,
    hostText(record.bornHost),
    hostText(record.storeHost),
    record.reconsumeTimes,
    record.preparedTransactionOffset,
    body.length,
    crc32(body),
    crc32(Buffer.from(propertiesText(record.properties))),
  ].join(' ')
}

/** The ConsumeQueues that follow from the records: a `queue` line for each, in no order, and a `unit` line for each entry. */
export function queueLines(records: readonly MessageRecord[], delayLevels: string): string[] {
  const delaysMs = parseDelayLevels(delayLevels)
  const counts = new Map<string, number>()
  const lines: string[] = []
  for (const record of records) {
    if (!isQueued(record.sysFlag)) continue
    const queue = `${record.topic} ${record.queueId}`
    const offset = counts.get(queue) ?? 0
    counts.set(queue, offset + 1)
    const code = tagsCodeOf(record, delaysMs)
    lines.push(`unit ${queue} ${offset} ${record.physicalOffset} ${record.totalSize} ${code}`)
  }
  for (const [queue, count] of counts) lines.push(`queue ${queue} 0 ${count}`)
  return lines
}

/** What an index must say of a key: the places of all records that carry it, ascending. */
export function indexLine(records: readonly MessageRecord[], topic: string, key: string): string {
  const places = records.filter((record) => {
    if (record.topic !== topic || isRolledBack(record)) return false
    const properties = decodeProperties(record.properties)
    const keys = (properties.get('KEYS') ?? '').split(' ').concat(properties.get('UNIQ_KEY') ?? '')
    return keys.includes(key)
  })
  return `index ${topic} ${key} ${places.map(({ physicalOffset }) => physicalOffset).join(',')}`
}

function isRolledBack({ sysFlag }: MessageRecord): boolean {
  return (sysFlag & MessageSysFlag.TRANSACTION_ROLLBACK) === MessageSysFlag.TRANSACTION_ROLLBACK
}

function tagsCodeOf(record: MessageRecord, delaysMs: readonly number[]): number {
  const properties = decodeProperties(record.properties)
  if (record.topic !== SCHEDULE) return javaHash(properties.get('TAGS') ?? '')
  return record.storeTimestamp + delayOfLevel(delaysMs, Number(properties.get('DELAY')))
}

function plainBody(record: MessageRecord): Buffer {
  if ((record.sysFlag & MessageSysFlag.COMPRESSED) === 0) return record.body
  const compression = compressionOf(record.sysFlag)
  if (compression !== 'zlib') throw new Error(`no record here is compressed with ${compression}`)
  return inflateSync(record.body)
}

function propertiesText(properties: string): string {
  const sorted = [...decodeProperties(properties)].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.map(([name, value]) => `${name}\x01${value}\x02`).join('')
}

function hostText({ address, port }: HostAddress): string {
  return `${address.toString('hex')}:${port}`
}
