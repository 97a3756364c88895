/**
 * The stored message record: what a log entry's body is, what a pull answers, what a client decodes. Big-endian.
 *
 *   0           4       8         12        16     20            28               36        40
 *   | totalSize | magic | bodyCrc | queueId | flag | queueOffset | physicalOffset | sysFlag | bornTimestamp |
 *   48                  +8|20            +8              +8|20                +4                           +8
 *   | bornHost: 8 or 20 | storeTimestamp | storeHost: 8 or 20 | reconsumeTimes | preparedTransactionOffset |
 *   | bodyLength: 4 | body | topicLength: 1 (V1) or 2 (V2) | topic | propertiesLength: 2 | properties |
 *
 * Always holds:
 *   - The lengths inside add up to totalSize exactly.
 *   - V2 is used for topics longer than 127 bytes only: old clients cannot read it.
 *   - bodyCrc is the CRC-32 of the body with bit 31 cleared; 0 for an empty body.
 *   - sysFlag says which hosts are IPv6; the encoder sets these two bits from the addresses.
 *   - 64-bit values are safe integers; a record that holds a larger one is refused when it is decoded.
 *
 * Source: org.apache.rocketmq.common.message.MessageDecoder, org.apache.rocketmq.store.MessageExtEncoder.
 */
import {
  assert,
  crc32,
  readInt16,
  readInt32,
  readInt64,
  readInt8,
  readUint32,
  writeInt16,
  writeInt32,
  writeInt64,
  writeUint32,
} from '@dledger-ts/base'
import { ProtocolError } from './errors.ts'
import {
  type HostAddress,
  hostBytes,
  IPV4_HOST_BYTES,
  IPV6_HOST_BYTES,
  isIpv6,
  readHost,
  writeHost,
} from './host-address.ts'
import { decodeProperties, PROPERTIES_BYTES_MAX } from './properties.ts'
import { MessageSysFlag } from './sys-flag.ts'
import { readText, textBytes, writeText } from './text.ts'

export const RECORD_MAGIC_V1 = 0xdaa320a7
export const RECORD_MAGIC_V2 = 0xdaa320ab

const TOTAL_SIZE_AT = 0
const MAGIC_AT = TOTAL_SIZE_AT + 4
const BODY_CRC_AT = MAGIC_AT + 4
const QUEUE_ID_AT = BODY_CRC_AT + 4
const FLAG_AT = QUEUE_ID_AT + 4
const QUEUE_OFFSET_AT = FLAG_AT + 4
const PHYSICAL_OFFSET_AT = QUEUE_OFFSET_AT + 8
const SYS_FLAG_AT = PHYSICAL_OFFSET_AT + 8
const BORN_TIMESTAMP_AT = SYS_FLAG_AT + 4
const BORN_HOST_AT = BORN_TIMESTAMP_AT + 8

/** From the end of bornHost. */
const STORE_HOST_AFTER_BORN = 8
/** From the end of storeHost. */
const PREPARED_AFTER_STORE = 4
const BODY_LENGTH_AFTER_STORE = PREPARED_AFTER_STORE + 8
const BODY_AFTER_STORE = BODY_LENGTH_AFTER_STORE + 4

const FIXED_BYTES = BORN_HOST_AT + STORE_HOST_AFTER_BORN + BODY_AFTER_STORE
const PROPERTIES_LENGTH_BYTES = 2
/** The smallest record: IPv4 hosts, V1, no body, topic or properties. */
export const RECORD_BYTES_MIN = FIXED_BYTES + 2 * IPV4_HOST_BYTES + 1 + PROPERTIES_LENGTH_BYTES

const TOPIC_BYTES_MAX_V1 = 127
const TOPIC_BYTES_MAX = 32_767
const CRC_MASK = 0x7fff_ffff
const HOST_FLAGS = MessageSysFlag.BORN_HOST_IPV6 | MessageSysFlag.STORE_HOST_IPV6

assert(FIXED_BYTES + 2 * IPV4_HOST_BYTES === 88, 'the body of an IPv4 record starts at byte 88')
assert(RECORD_BYTES_MIN === 91, 'the smallest record has 91 bytes')

/** A message as it is put: everything but its place. */
export interface RecordFields {
  topic: string
  queueId: number
  /** The user's own flag, int32. */
  flag: number
  /** See `MessageSysFlag`; the two host bits are set by the encoder. */
  sysFlag: number
  bornTimestamp: number
  bornHost: HostAddress
  storeHost: HostAddress
  reconsumeTimes: number
  /** On a commit record: the commit-log offset of its half message. Else 0. */
  preparedTransactionOffset: number
  /** As received, maybe compressed. Copied once, into the log. */
  body: Buffer
  /** The property block, see `properties.ts`. */
  properties: string
}

/** Where the log puts a record. */
export interface RecordPlace {
  /** Messages, not bytes: the place in one ConsumeQueue. */
  queueOffset: number
  /** Bytes: where the record starts in the log. */
  physicalOffset: number
  storeTimestamp: number
}

/** A whole record, decoded. `body` is a slice of the bytes it was decoded from. */
export interface MessageRecord extends RecordFields, RecordPlace {
  totalSize: number
  bodyCrc: number
}

/**
 * A record whose size is known and whose place is not: made when the message arrives, encoded when the log gives the place.
 *
 * Everything that could be refused is refused by the constructor, so `encode` cannot fail. Hot.
 */
export class RecordDraft {
  readonly fields: RecordFields
  /** The exact size of the encoded record. */
  readonly bytes: number
  readonly #topicBytes: number
  readonly #propertiesBytes: number

  /** @throws ProtocolError `TOO_LARGE` for topic or properties, `NUMBER_OUT_OF_RANGE` for a value outside its field. */
  constructor(fields: RecordFields) {
    checkInt32(fields.queueId, 'queueId')
    checkInt32(fields.flag, 'flag')
    checkInt32(fields.sysFlag, 'sysFlag')
    checkInt32(fields.reconsumeTimes, 'reconsumeTimes')
    checkInt64(fields.bornTimestamp, 'bornTimestamp')
    checkInt64(fields.preparedTransactionOffset, 'preparedTransactionOffset')
    this.fields = fields
    this.#topicBytes = textBytes(fields.topic)
    this.#propertiesBytes = textBytes(fields.properties)
    checkSize(this.#topicBytes, TOPIC_BYTES_MAX, 'topic')
    checkSize(this.#propertiesBytes, PROPERTIES_BYTES_MAX, 'properties')
    this.bytes =
      FIXED_BYTES +
      hostBytes(fields.bornHost) +
      hostBytes(fields.storeHost) +
      fields.body.length +
      topicLengthBytes(this.#topicBytes) +
      this.#topicBytes +
      PROPERTIES_LENGTH_BYTES +
      this.#propertiesBytes
  }

  /** Writes exactly `bytes` bytes at `at`. */
  encode(target: Buffer, at: number, place: RecordPlace): void {
    const { fields } = this
    const isV1 = this.#topicBytes <= TOPIC_BYTES_MAX_V1
    writeInt32(target, this.bytes, at + TOTAL_SIZE_AT)
    writeUint32(target, isV1 ? RECORD_MAGIC_V1 : RECORD_MAGIC_V2, at + MAGIC_AT)
    writeInt32(target, recordCrc(fields.body), at + BODY_CRC_AT)
    writeInt32(target, fields.queueId, at + QUEUE_ID_AT)
    writeInt32(target, fields.flag, at + FLAG_AT)
    writeInt64(target, place.queueOffset, at + QUEUE_OFFSET_AT)
    writeInt64(target, place.physicalOffset, at + PHYSICAL_OFFSET_AT)
    writeInt32(target, hostFlags(fields), at + SYS_FLAG_AT)
    writeInt64(target, fields.bornTimestamp, at + BORN_TIMESTAMP_AT)
    let next = writeHost(target, fields.bornHost, at + BORN_HOST_AT)
    writeInt64(target, place.storeTimestamp, next)
    next = writeHost(target, fields.storeHost, next + STORE_HOST_AFTER_BORN)
    writeInt32(target, fields.reconsumeTimes, next)
    writeInt64(target, fields.preparedTransactionOffset, next + PREPARED_AFTER_STORE)
    writeInt32(target, fields.body.length, next + BODY_LENGTH_AFTER_STORE)
    next += BODY_AFTER_STORE
    fields.body.copy(target, next)
    next += fields.body.length
    if (isV1) target[next] = this.#topicBytes
    else writeInt16(target, this.#topicBytes, next)
    next += topicLengthBytes(this.#topicBytes)
    writeText(target, fields.topic, next, this.#topicBytes)
    next += this.#topicBytes
    writeInt16(target, this.#propertiesBytes, next)
    next += PROPERTIES_LENGTH_BYTES
    writeText(target, fields.properties, next, this.#propertiesBytes)
    assert(next + this.#propertiesBytes === at + this.bytes, 'a record has the size it announced')
  }
}

/** @returns the exact size of the record that `fields` make. @throws ProtocolError as `RecordDraft`. */
export function recordBytes(fields: RecordFields): number {
  return new RecordDraft(fields).bytes
}

/**
 * Checks that a whole record stands at `at` and ends by `end`: magic, every length inside, and that they add up.
 *
 * The cheap readers below may be used on a record that passed this; on other bytes they may throw a RangeError.
 *
 * @returns the record's size.
 * @throws ProtocolError `TRUNCATED`, `BAD_MAGIC`, `BAD_LENGTH`.
 */
export function checkRecord(bytes: Buffer, at = 0, end = bytes.length): number {
  if (end - at < RECORD_BYTES_MIN) throw truncated(RECORD_BYTES_MIN, end - at)
  const magic = readUint32(bytes, at + MAGIC_AT)
  if (magic !== RECORD_MAGIC_V1 && magic !== RECORD_MAGIC_V2) {
    throw new ProtocolError(`0x${magic.toString(16)} is not the magic of a message record`, {
      code: 'BAD_MAGIC',
      magic,
    })
  }
  const totalSize = readInt32(bytes, at + TOTAL_SIZE_AT)
  if (totalSize < RECORD_BYTES_MIN) throw badLength('totalSize', totalSize)
  if (totalSize > end - at) throw truncated(totalSize, end - at)
  const recordEnd = at + totalSize

  const bodyLengthAt = storeHostEnd(bytes, at) + BODY_LENGTH_AFTER_STORE
  if (bodyLengthAt + 4 > recordEnd) throw badLength('totalSize', totalSize)
  const bodyLength = readInt32(bytes, bodyLengthAt)
  const lengthBytes = magic === RECORD_MAGIC_V1 ? 1 : 2
  const topicLengthAt = bodyLengthAt + 4 + bodyLength
  if (bodyLength < 0 || topicLengthAt + lengthBytes > recordEnd) throw badLength('bodyLength', bodyLength)
  const topicLength = lengthBytes === 1 ? readInt8(bytes, topicLengthAt) : readInt16(bytes, topicLengthAt)
  const propertiesLengthAt = topicLengthAt + lengthBytes + topicLength
  if (topicLength < 0 || propertiesLengthAt + PROPERTIES_LENGTH_BYTES > recordEnd)
    throw badLength('topicLength', topicLength)
  const propertiesLength = readInt16(bytes, propertiesLengthAt)
  if (propertiesLength < 0 || propertiesLengthAt + PROPERTIES_LENGTH_BYTES + propertiesLength !== recordEnd) {
    throw badLength('propertiesLength', propertiesLength)
  }
  return totalSize
}

/** Checks the body of a record that passed `checkRecord` against the CRC it states. @throws ProtocolError `BAD_CRC`. */
export function checkRecordBody(bytes: Buffer, at = 0): void {
  const bodyAt = storeHostEnd(bytes, at) + BODY_AFTER_STORE
  const actual = crc32(bytes, bodyAt, bodyAt + recordBodyLength(bytes, at)) & CRC_MASK
  const stated = readInt32(bytes, at + BODY_CRC_AT)
  if (actual !== stated) {
    throw new ProtocolError(`the body has CRC ${actual}, the record states ${stated}`, {
      code: 'BAD_CRC',
      stated,
      actual,
    })
  }
}

/**
 * Decodes the record at `at`. The body is a slice, and its CRC is not checked: see `checkRecordBody`.
 *
 * @throws ProtocolError as `checkRecord`, and `NUMBER_OUT_OF_RANGE` for a 64-bit value beyond 2^53.
 */
export function decodeRecord(bytes: Buffer, at = 0, end = bytes.length): MessageRecord {
  const totalSize = checkRecord(bytes, at, end)
  const sysFlag = recordSysFlag(bytes, at)
  const bornEnd = bornHostEnd(bytes, at)
  const storeEnd = storeHostEnd(bytes, at)
  return {
    totalSize,
    bodyCrc: readInt32(bytes, at + BODY_CRC_AT),
    queueId: recordQueueId(bytes, at),
    flag: recordFlag(bytes, at),
    queueOffset: checkInt64(recordQueueOffset(bytes, at), 'queueOffset'),
    physicalOffset: checkInt64(recordPhysicalOffset(bytes, at), 'physicalOffset'),
    sysFlag,
    bornTimestamp: checkInt64(recordBornTimestamp(bytes, at), 'bornTimestamp'),
    bornHost: readHost(bytes, at + BORN_HOST_AT, (sysFlag & MessageSysFlag.BORN_HOST_IPV6) !== 0),
    storeTimestamp: checkInt64(recordStoreTimestamp(bytes, at), 'storeTimestamp'),
    storeHost: readHost(bytes, bornEnd + STORE_HOST_AFTER_BORN, (sysFlag & MessageSysFlag.STORE_HOST_IPV6) !== 0),
    reconsumeTimes: readInt32(bytes, storeEnd),
    preparedTransactionOffset: checkInt64(recordPreparedTransactionOffset(bytes, at), 'preparedTransactionOffset'),
    body: recordBody(bytes, at),
    topic: recordTopic(bytes, at),
    properties: recordProperties(bytes, at),
  }
}

/** Decodes records that stand one after another, as in the body of a pull answer. @throws ProtocolError as `decodeRecord`. */
export function decodeRecords(bytes: Buffer): MessageRecord[] {
  const records: MessageRecord[] = []
  for (let at = 0; at < bytes.length;) {
    const record = decodeRecord(bytes, at)
    records.push(record)
    at += record.totalSize
  }
  return records
}

// Cheap readers: one field each, of a record that passed `checkRecord`. 64-bit ones return NaN beyond 2^53.

export function recordTotalSize(bytes: Buffer, at = 0): number {
  return readInt32(bytes, at + TOTAL_SIZE_AT)
}

export function recordQueueId(bytes: Buffer, at = 0): number {
  return readInt32(bytes, at + QUEUE_ID_AT)
}

export function recordFlag(bytes: Buffer, at = 0): number {
  return readInt32(bytes, at + FLAG_AT)
}

export function recordQueueOffset(bytes: Buffer, at = 0): number {
  return readInt64(bytes, at + QUEUE_OFFSET_AT)
}

export function recordPhysicalOffset(bytes: Buffer, at = 0): number {
  return readInt64(bytes, at + PHYSICAL_OFFSET_AT)
}

export function recordSysFlag(bytes: Buffer, at = 0): number {
  return readInt32(bytes, at + SYS_FLAG_AT)
}

export function recordBornTimestamp(bytes: Buffer, at = 0): number {
  return readInt64(bytes, at + BORN_TIMESTAMP_AT)
}

export function recordStoreTimestamp(bytes: Buffer, at = 0): number {
  return readInt64(bytes, bornHostEnd(bytes, at))
}

export function recordReconsumeTimes(bytes: Buffer, at = 0): number {
  return readInt32(bytes, storeHostEnd(bytes, at))
}

export function recordPreparedTransactionOffset(bytes: Buffer, at = 0): number {
  return readInt64(bytes, storeHostEnd(bytes, at) + PREPARED_AFTER_STORE)
}

export function recordBodyLength(bytes: Buffer, at = 0): number {
  return readInt32(bytes, storeHostEnd(bytes, at) + BODY_LENGTH_AFTER_STORE)
}

/** @returns a slice, not a copy. */
export function recordBody(bytes: Buffer, at = 0): Buffer {
  const bodyAt = storeHostEnd(bytes, at) + BODY_AFTER_STORE
  return bytes.subarray(bodyAt, bodyAt + recordBodyLength(bytes, at))
}

export function recordTopic(bytes: Buffer, at = 0): string {
  const topicAt = recordTopicAt(bytes, at)
  return readText(bytes, topicAt, topicAt + recordTopicLength(bytes, at))
}

/** Whether a record, which need not be a whole one, has this topic. Hot: no text is made. */
export function recordHasTopic(bytes: Buffer, topic: string, at = 0): boolean {
  const lengthBytes = readUint32(bytes, at + MAGIC_AT) === RECORD_MAGIC_V1 ? 1 : 2
  const topicAt = storeHostEnd(bytes, at) + BODY_AFTER_STORE + recordBodyLength(bytes, at) + lengthBytes
  if (!(topicAt >= 2 && topicAt + topic.length <= bytes.length)) return false
  const length = lengthBytes === 1 ? readInt8(bytes, topicAt - 1) : readInt16(bytes, topicAt - 2)
  if (length === topic.length) {
    let i = 0
    while (i < length && bytes[topicAt + i] === topic.charCodeAt(i)) i++
    if (i === length) return true
  }
  // Not only ASCII, or not this one.
  return topicAt + length <= bytes.length && readText(bytes, topicAt, topicAt + length) === topic
}

/** @returns the property block as text, see `properties.ts`. */
export function recordProperties(bytes: Buffer, at = 0): string {
  return readText(bytes, recordPropertiesAt(bytes, at), at + recordTotalSize(bytes, at))
}

/** @returns the property block as a slice, not a copy. */
export function recordPropertiesSlice(bytes: Buffer, at = 0): Buffer {
  return bytes.subarray(recordPropertiesAt(bytes, at), at + recordTotalSize(bytes, at))
}

/** @returns the value of the property with this ASCII name by the reading rules, without making a text of the whole block. Hot. */
export function recordProperty(bytes: Buffer, name: string, at = 0): string | undefined {
  const end = at + recordTotalSize(bytes, at)
  let found: string | undefined
  let from = recordPropertiesAt(bytes, at)
  while (from < end) {
    let to = from
    while (to < end && bytes[to] !== 2) to++
    const valueFrom = from + name.length + 1
    if (valueFrom < to && bytes[valueFrom - 1] === 1 && startsWith(bytes, name, from))
      found = readText(bytes, valueFrom, to)
    from = to + 1
  }
  return found
}

/** @returns the tag of the message, undefined without one. */
export function recordTags(bytes: Buffer, at = 0): string | undefined {
  return recordProperty(bytes, 'TAGS', at)
}

/** @returns the properties by name. */
export function recordPropertyMap(bytes: Buffer, at = 0): Map<string, string> {
  return decodeProperties(recordProperties(bytes, at))
}

/** Fills in the place of a record that was encoded before it was known. */
export function writeRecordPlace(bytes: Buffer, at: number, place: RecordPlace): void {
  writeInt64(bytes, place.queueOffset, at + QUEUE_OFFSET_AT)
  writeInt64(bytes, place.physicalOffset, at + PHYSICAL_OFFSET_AT)
  writeInt64(bytes, place.storeTimestamp, bornHostEnd(bytes, at))
}

/** @returns the CRC of a body as records state it: bit 31 cleared. */
export function recordCrc(body: Buffer): number {
  return crc32(body) & CRC_MASK
}

function bornHostEnd(bytes: Buffer, at: number): number {
  const isBornIpv6 = (recordSysFlag(bytes, at) & MessageSysFlag.BORN_HOST_IPV6) !== 0
  return at + BORN_HOST_AT + (isBornIpv6 ? IPV6_HOST_BYTES : IPV4_HOST_BYTES)
}

function storeHostEnd(bytes: Buffer, at: number): number {
  const isStoreIpv6 = (recordSysFlag(bytes, at) & MessageSysFlag.STORE_HOST_IPV6) !== 0
  return bornHostEnd(bytes, at) + STORE_HOST_AFTER_BORN + (isStoreIpv6 ? IPV6_HOST_BYTES : IPV4_HOST_BYTES)
}

export function recordTopicAt(bytes: Buffer, at: number): number {
  const lengthBytes = readUint32(bytes, at + MAGIC_AT) === RECORD_MAGIC_V1 ? 1 : 2
  return storeHostEnd(bytes, at) + BODY_AFTER_STORE + recordBodyLength(bytes, at) + lengthBytes
}

export function recordTopicLength(bytes: Buffer, at: number): number {
  const topicAt = recordTopicAt(bytes, at)
  return readUint32(bytes, at + MAGIC_AT) === RECORD_MAGIC_V1
    ? readInt8(bytes, topicAt - 1)
    : readInt16(bytes, topicAt - 2)
}

export function recordPropertiesAt(bytes: Buffer, at: number): number {
  return recordTopicAt(bytes, at) + recordTopicLength(bytes, at) + PROPERTIES_LENGTH_BYTES
}

function startsWith(bytes: Buffer, asciiText: string, at: number): boolean {
  for (let i = 0; i < asciiText.length; i++) if (bytes[at + i] !== asciiText.charCodeAt(i)) return false
  return true
}

function topicLengthBytes(topicBytes: number): number {
  return topicBytes <= TOPIC_BYTES_MAX_V1 ? 1 : 2
}

function hostFlags(fields: RecordFields): number {
  const born = isIpv6(fields.bornHost) ? MessageSysFlag.BORN_HOST_IPV6 : 0
  const store = isIpv6(fields.storeHost) ? MessageSysFlag.STORE_HOST_IPV6 : 0
  return (fields.sysFlag & ~HOST_FLAGS) | born | store
}

function checkInt32(value: number, what: string): void {
  if ((value | 0) !== value) throw outOfRange(what)
}

function checkInt64(value: number, what: string): number {
  if (!Number.isSafeInteger(value)) throw outOfRange(what)
  return value
}

function checkSize(bytes: number, maxBytes: number, what: string): void {
  if (bytes > maxBytes) {
    throw new ProtocolError(`${what}: ${bytes} bytes, at most ${maxBytes}`, {
      code: 'TOO_LARGE',
      what,
      bytes,
      maxBytes,
    })
  }
}

function outOfRange(what: string): ProtocolError {
  return new ProtocolError(`${what} is outside its range`, { code: 'NUMBER_OUT_OF_RANGE', what })
}

function badLength(what: string, value: number): ProtocolError {
  return new ProtocolError(`${what} ${value} does not fit the record`, { code: 'BAD_LENGTH', what, value })
}

function truncated(needed: number, present: number): ProtocolError {
  return new ProtocolError(`a record needs ${needed} bytes, there are ${present}`, {
    code: 'TRUNCATED',
    what: 'record',
    needed,
    present,
  })
}
