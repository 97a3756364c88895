/**
 * One frame's content: a request or a response, with its header as JSON or in RocketMQ's binary form, and a body.
 *
 *   | length: 4 | type: 1, header length: 3 | header | body |        length counts what follows it
 *
 *   type 0  header is a JSON object
 *   type 1  | code: 2 | language: 1 | version: 2 | opaque: 4 | flag: 4 | remark: 4 + n | extFields: 4 + n |
 *           each ext field is | key length: 2 | key | value length: 4 | value |
 *
 * Always holds: ext fields are strings on our side. They are written as strings (one JSON number kills the frame for the Go
 * client) and read from anything (the JavaScript client sends numbers and booleans).
 *
 * Source: org.apache.rocketmq.remoting.protocol.RemotingCommand, RocketMQSerializable.
 */
import { assert, readInt16, readInt32, writeInt16, writeInt32 } from '@dledger-ts/base'
import { malformedFrame } from './errors.ts'
import { LANGUAGE_NAMES, OTHER_LANGUAGE } from './language.ts'
import { quoted, utf8Bytes, writeUtf8 } from './text.ts'

/** What every frame of ours reports: RocketMQ 5.3.3. Clients gate features on it. */
export const OUR_VERSION = 479
/** What every frame of ours reports: older clients cannot read a name they do not know. */
export const OUR_LANGUAGE = 'JAVA'

export const SerializeType = { JSON: 0, ROCKETMQ: 1 } as const
export type SerializeType = (typeof SerializeType)[keyof typeof SerializeType]

const RESPONSE_FLAG = 1
const ONEWAY_FLAG = 2
const BINARY_FIXED_BYTES = 21
/** A key's length in the binary form is an int16. */
const BINARY_KEY_BYTES_MAX = 0x7fff
export const LENGTH_BYTES = 4
export const HEADER_LENGTH_BYTES = 4

export type ExtFields = Record<string, string>
export type CommandBody = Buffer | readonly Buffer[]

/** Told once, when the bytes of a body are no longer needed: they are in the kernel, or the connection is gone. */
export interface Releasable {
  release(): void
}

export class RemotingCommand {
  code: number
  language: string
  version: number
  /** The id by which an answer finds its request; each side of a connection counts its own. int32, wraps. */
  opaque: number
  flag: number
  remark: string | undefined
  extFields: ExtFields | undefined
  /** In place of `extFields` of a command to send in JSON: the object's text as a hot path wrote it, Java's way. */
  extFieldsJson: string | undefined
  /** Received: one buffer. To send: one or several, written without being joined. */
  body: CommandBody | undefined
  serializeType: SerializeType
  /** Of a command that came: the bytes of its header and its body, which are in memory while it is kept. */
  receivedBytes: number
  /** Set on a command to send whose body must stay unchanged until it is written. */
  releasable: Releasable | undefined
  /** Set by `Connection.respond`: a request is answered once. */
  isAnswered: boolean

  constructor(code: number) {
    this.code = code
    this.language = OUR_LANGUAGE
    this.version = OUR_VERSION
    this.opaque = 0
    this.flag = 0
    this.remark = undefined
    this.extFields = undefined
    this.extFieldsJson = undefined
    this.body = undefined
    this.serializeType = SerializeType.JSON
    this.receivedBytes = 0
    this.releasable = undefined
    this.isAnswered = false
  }

  get isResponse(): boolean {
    return (this.flag & RESPONSE_FLAG) !== 0
  }

  get isOneway(): boolean {
    return (this.flag & ONEWAY_FLAG) !== 0
  }

  /** The body as one buffer; empty when there is none. */
  get bodyBytes(): Buffer {
    if (this.body === undefined) return EMPTY
    return Buffer.isBuffer(this.body) ? this.body : Buffer.concat(this.body)
  }

  markResponse(): void {
    this.flag |= RESPONSE_FLAG
  }

  markOneway(): void {
    this.flag |= ONEWAY_FLAG
  }
}

const EMPTY = Buffer.alloc(0)

/** @returns a request to be sent; `opaque` is given by the connection. */
export function createRequest(code: number, extFields?: ExtFields, body?: CommandBody): RemotingCommand {
  const command = new RemotingCommand(code)
  command.extFields = extFields
  command.body = body
  return command
}

/** @returns an answer; `opaque` and the serialize type are taken from the request when it is sent. */
export function createResponse(
  code: number,
  remark?: string,
  extFields?: ExtFields,
  body?: CommandBody,
): RemotingCommand {
  const command = createRequest(code, extFields, body)
  command.remark = remark
  command.markResponse()
  return command
}

/**
 * Decodes what stands between `at` and `end`: a frame without its length word.
 *
 * @returns the command; its body is a slice.
 * @throws RemotingError `MALFORMED_FRAME`.
 */
export function decodeCommand(bytes: Buffer, at: number, end: number): RemotingCommand {
  if (end - at < HEADER_LENGTH_BYTES) throw malformedFrame(`${end - at} bytes have no room for a header length`)
  const headerAt = at + HEADER_LENGTH_BYTES
  const headerEnd = headerAt + bytes.readUIntBE(at + 1, 3)
  if (headerEnd > end) throw malformedFrame(`header of ${headerEnd - headerAt} bytes in a frame of ${end - at}`)
  const type = bytes[at]
  let command: RemotingCommand
  if (type === SerializeType.JSON) command = decodeJsonHeader(bytes.toString('utf8', headerAt, headerEnd))
  else if (type === SerializeType.ROCKETMQ) command = decodeBinaryHeader(bytes, headerAt, headerEnd)
  else throw malformedFrame(`unknown serialize type ${type}`)
  if (headerEnd < end) command.body = bytes.subarray(headerEnd, end)
  command.receivedBytes = end - at
  return command
}

function decodeJsonHeader(text: string): RemotingCommand {
  let header: unknown
  try {
    header = JSON.parse(text)
  } catch (error) {
    throw malformedFrame('the header is not JSON', error)
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw malformedFrame('the header is no object')
  const fields = header as Record<string, unknown>
  const command = new RemotingCommand(headerInt(fields['code'], 'code'))
  command.language = typeof fields['language'] === 'string' ? fields['language'] : OTHER_LANGUAGE
  command.version = headerInt(fields['version'] ?? 0, 'version')
  command.opaque = headerInt(fields['opaque'] ?? 0, 'opaque')
  command.flag = headerInt(fields['flag'] ?? 0, 'flag')
  const remark = fields['remark']
  if (remark !== undefined && remark !== null) command.remark = scalarText(remark)
  command.extFields = decodeExtFields(fields['extFields'])
  return command
}

function headerInt(value: unknown, name: string): number {
  if (typeof value !== 'number' || (value | 0) !== value) throw malformedFrame(`${name} is not an int32`)
  return value
}

/** Hot: an object whose values are all strings, which is the rule, is taken as it is. */
function decodeExtFields(value: unknown): ExtFields | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object' || Array.isArray(value)) throw malformedFrame('extFields is no object')
  const fields = value as Record<string, unknown>
  for (const key in fields) {
    const field = fields[key]
    if (typeof field === 'string') continue
    if (field === null) delete fields[key]
    else fields[key] = scalarText(field)
  }
  return fields as ExtFields
}

function scalarText(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw malformedFrame('a field of the header is an object or an array')
}

function decodeBinaryHeader(bytes: Buffer, at: number, end: number): RemotingCommand {
  if (end - at < BINARY_FIXED_BYTES) throw malformedFrame(`a binary header of ${end - at} bytes`)
  const command = new RemotingCommand(readInt16(bytes, at))
  command.serializeType = SerializeType.ROCKETMQ
  command.language = LANGUAGE_NAMES[bytes[at + 2] as number] ?? OTHER_LANGUAGE
  command.version = readInt16(bytes, at + 3)
  command.opaque = readInt32(bytes, at + 5)
  command.flag = readInt32(bytes, at + 9)
  const remarkAt = at + 17
  const remarkEnd = remarkAt + readInt32(bytes, at + 13)
  if (remarkEnd < remarkAt || remarkEnd + 4 > end) throw malformedFrame('the remark leaves its header')
  if (remarkEnd > remarkAt) command.remark = bytes.toString('utf8', remarkAt, remarkEnd)
  const fieldsAt = remarkEnd + 4
  const fieldsEnd = fieldsAt + readInt32(bytes, remarkEnd)
  if (fieldsEnd < fieldsAt || fieldsEnd > end) throw malformedFrame('extFields leave their header')
  if (fieldsEnd > fieldsAt) command.extFields = decodeBinaryExtFields(bytes, fieldsAt, fieldsEnd)
  return command
}

function decodeBinaryExtFields(bytes: Buffer, at: number, end: number): ExtFields {
  const fields: ExtFields = {}
  let next = at
  while (next < end) {
    if (next + 2 > end) throw malformedFrame('an ext field is cut')
    const keyAt = next + 2
    const keyEnd = keyAt + readInt16(bytes, next)
    if (keyEnd < keyAt || keyEnd + 4 > end) throw malformedFrame('an ext field key leaves its header')
    const valueAt = keyEnd + 4
    const valueEnd = valueAt + readInt32(bytes, keyEnd)
    if (valueEnd < valueAt || valueEnd > end) throw malformedFrame('an ext field value leaves its header')
    setOwn(fields, bytes.toString('utf8', keyAt, keyEnd), bytes.toString('utf8', valueAt, valueEnd))
    next = valueEnd
  }
  return fields
}

/** A key may be `__proto__`: it becomes a field like any other. */
function setOwn(fields: ExtFields, key: string, value: string): void {
  if (key === '__proto__')
    Object.defineProperty(fields, key, { value, enumerable: true, writable: true, configurable: true })
  else fields[key] = value
}

/** A header ready to be written: text, or bytes for the binary form. */
export type EncodedHeader = string | Buffer

/** @returns undefined for a key that the binary form has no room for. */
export function encodeHeader(command: RemotingCommand): EncodedHeader | undefined {
  return command.serializeType === SerializeType.JSON ? encodeJsonHeader(command) : encodeBinaryHeader(command)
}

/** Java's form: keys in alphabetical order, no spaces, nothing that is null. Hot: built by hand. */
function encodeJsonHeader(command: RemotingCommand): string {
  let text = `{"code":${command.code}`
  if (command.extFieldsJson !== undefined) text += `,"extFields":${command.extFieldsJson}`
  else if (command.extFields !== undefined) text += `,"extFields":${encodeJsonExtFields(command.extFields)}`
  text += `,"flag":${command.flag},"language":"${command.language}","opaque":${command.opaque}`
  if (command.remark !== undefined) text += `,"remark":${quoted(command.remark)}`
  return `${text},"serializeTypeCurrentRPC":"JSON","version":${command.version}}`
}

function encodeJsonExtFields(fields: ExtFields): string {
  let text = ''
  for (const key in fields) {
    text += `${text === '' ? '{' : ','}${quoted(key)}:${quoted(fields[key] as string)}`
  }
  return text === '' ? '{}' : `${text}}`
}

function encodeBinaryHeader(command: RemotingCommand): Buffer | undefined {
  assert(command.extFieldsJson === undefined, 'fields that are written as JSON leave in a JSON header')
  const remarkBytes = command.remark === undefined ? 0 : utf8Bytes(command.remark)
  let fieldsBytes = 0
  for (const key in command.extFields) {
    const keyBytes = utf8Bytes(key)
    if (keyBytes > BINARY_KEY_BYTES_MAX) return undefined
    fieldsBytes += 6 + keyBytes + utf8Bytes(command.extFields[key] as string)
  }
  const target = Buffer.allocUnsafe(BINARY_FIXED_BYTES + remarkBytes + fieldsBytes)
  // The binary form has 16 bits for the code; larger ones are cut, as in Java.
  writeInt16(target, (command.code << 16) >> 16, 0)
  target.writeUInt8(Math.max(LANGUAGE_NAMES.indexOf(command.language), 0), 2)
  writeInt16(target, (command.version << 16) >> 16, 3)
  writeInt32(target, command.opaque, 5)
  writeInt32(target, command.flag, 9)
  let at = target.writeInt32BE(remarkBytes, 13)
  if (command.remark !== undefined) at = writeUtf8(target, command.remark, at, remarkBytes)
  at = target.writeInt32BE(fieldsBytes, at)
  for (const key in command.extFields) {
    const value = command.extFields[key] as string
    const keyBytes = utf8Bytes(key)
    const valueBytes = utf8Bytes(value)
    at = writeUtf8(target, key, target.writeInt16BE(keyBytes, at), keyBytes)
    at = writeUtf8(target, value, target.writeInt32BE(valueBytes, at), valueBytes)
  }
  return target
}
