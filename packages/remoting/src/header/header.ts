/**
 * What a request or response carries in its ext fields, declared once: its type, both codecs and the check for missing fields
 * follow from the declaration.
 *
 *   export const GetMaxOffsetRequest = header(RequestCode.GET_MAX_OFFSET, { topic: string, queueId: int32 })
 *   export type GetMaxOffsetRequest = HeaderOf<typeof GetMaxOffsetRequest>
 *
 * Unknown ext fields are ignored. On the wire every value is text.
 */
import { assert } from '@dledger-ts/base'
import { type CommandBody, createRequest, createResponse, type ExtFields, type RemotingCommand } from '../command.ts'
import { RemotingError } from '../errors.ts'

/** How one field is read and written. */
export interface FieldCodec<T> {
  /** For error messages: what the text should have been. */
  readonly kind: string
  /** @returns undefined when the text is not of this kind. */
  decode(text: string): T | undefined
  encode(value: T): string
}

export interface Field<T, Presence extends 'required' | 'optional'> {
  readonly codec: FieldCodec<T>
  readonly presence: Presence
  /** Taken when the field is absent. */
  readonly defaultValue?: T
  /** The name on the wire, when it is not the name in the declaration. */
  readonly wireName?: string
}

type AnyField =
  | Field<string, 'required' | 'optional'>
  | Field<number, 'required' | 'optional'>
  | Field<boolean, 'required' | 'optional'>
export type HeaderFields = Record<string, AnyField>

type RequiredKeys<F extends HeaderFields> = { [K in keyof F]: F[K]['presence'] extends 'required' ? K : never }[keyof F]
type ValueOf<A extends AnyField> = A extends Field<infer T, 'required' | 'optional'> ? T : never
export type HeaderValue<F extends HeaderFields> = { [K in RequiredKeys<F>]: ValueOf<F[K]> } & {
  [K in Exclude<keyof F, RequiredKeys<F>>]?: ValueOf<F[K]> | undefined
}
export type HeaderOf<H extends { decode(extFields: ExtFields | undefined): unknown }> = ReturnType<H['decode']>

const textCodec: FieldCodec<string> = { kind: 'a text', decode: (text) => text, encode: (value) => value }
const int32Codec: FieldCodec<number> = { kind: 'an int32', decode: decodeInt32, encode: String }
const int64Codec: FieldCodec<number> = { kind: 'an int64', decode: decodeInt64, encode: encodeInt64 }
const booleanCodec: FieldCodec<boolean> = {
  kind: 'a boolean',
  decode: (text) => text === 'true' || text.toLowerCase() === 'true',
  encode: String,
}

export const string: Field<string, 'required'> = { codec: textCodec, presence: 'required' }
export const int32: Field<number, 'required'> = { codec: int32Codec, presence: 'required' }
/**
 * A signed 64-bit value as a number. Values beyond 2^53 (Long.MAX as "no bound") are read as the nearest safe integer: such a
 * value is only ever compared.
 */
export const int64: Field<number, 'required'> = { codec: int64Codec, presence: 'required' }
export const boolean: Field<boolean, 'required'> = { codec: booleanCodec, presence: 'required' }

/** The field may be absent. */
export function optional<T>(field: Field<T, 'required'>): Field<T, 'optional'> {
  return { ...field, presence: 'optional' }
}

/** The field may be absent on the wire and then has this value. */
export function defaulted<T>(field: Field<T, 'required'>, defaultValue: T): Field<T, 'required'> {
  return { ...field, defaultValue }
}

/** The field has another name on the wire. */
export function named<T, P extends 'required' | 'optional'>(wireName: string, field: Field<T, P>): Field<T, P> {
  return { ...field, wireName }
}

/** The ext fields of a request or a response. */
export class Header<F extends HeaderFields> {
  /** The request code; for an answer, the code of the request that it answers. */
  readonly code: number
  readonly #names: readonly string[]
  readonly #wireNames: readonly string[]
  readonly #fields: readonly Field<unknown, 'required' | 'optional'>[]

  constructor(code: number, fields: F) {
    this.code = code
    this.#names = Object.keys(fields)
    this.#fields = Object.values(fields)
    this.#wireNames = this.#fields.map((field, i) => field.wireName ?? (this.#names[i] as string))
  }

  /** @throws RemotingError `BAD_HEADER` naming the first field that is missing or not of its kind. */
  decode(extFields: ExtFields | undefined): HeaderValue<F> {
    const value: Record<string, unknown> = {}
    for (let i = 0; i < this.#fields.length; i++) {
      const field = this.#fields[i] as Field<unknown, 'required' | 'optional'>
      const wireName = this.#wireNames[i] as string
      const text = extFields?.[wireName]
      let decoded: unknown
      if (typeof text === 'string') {
        decoded = field.codec.decode(text)
        if (decoded === undefined) throw this.#badField(wireName, `"${text.slice(0, 64)}" is not ${field.codec.kind}`)
      } else if (field.defaultValue !== undefined) {
        decoded = field.defaultValue
      } else if (field.presence === 'required') {
        throw this.#badField(wireName, 'it is missing')
      }
      value[this.#names[i] as string] = decoded
    }
    return value as HeaderValue<F>
  }

  encode(value: HeaderValue<F>): ExtFields {
    const extFields: ExtFields = {}
    const values = value as Record<string, unknown>
    for (let i = 0; i < this.#fields.length; i++) {
      const fieldValue = values[this.#names[i] as string]
      if (fieldValue === undefined) continue
      const field = this.#fields[i] as Field<unknown, 'required' | 'optional'>
      extFields[this.#wireNames[i] as string] = field.codec.encode(fieldValue)
    }
    return extFields
  }

  /** @returns a request of this code. */
  request(value: HeaderValue<F>, body?: CommandBody): RemotingCommand {
    return createRequest(this.code, this.encode(value), body)
  }

  /** @returns an answer with these ext fields. */
  response(responseCode: number, value: HeaderValue<F>, remark?: string, body?: CommandBody): RemotingCommand {
    return createResponse(responseCode, remark, this.encode(value), body)
  }

  #badField(field: string, reason: string): RemotingError {
    return new RemotingError(`request ${this.code}, header field ${field}: ${reason}`, {
      code: 'BAD_HEADER',
      requestCode: this.code,
      field,
      reason,
    })
  }
}

/** Declares the ext fields of a request, or of the answers to it. */
export function header<F extends HeaderFields>(code: number, fields: F): Header<F> {
  return new Header(code, fields)
}

/** Hot: no regular expression. */
function decodeInt32(text: string): number | undefined {
  const value = decodeInteger(text, 10)
  return value !== undefined && (value | 0) === value ? value : undefined
}

function decodeInt64(text: string): number | undefined {
  const value = decodeInteger(text, 20)
  if (value === undefined || Number.isSafeInteger(value)) return value
  return value > 0 ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER
}

function encodeInt64(value: number): string {
  assert(Number.isSafeInteger(value), 'an int64 header field is a safe integer')
  return String(value)
}

/** @returns the value of an optional sign and 1 to `digitsMax` digits, else undefined; beyond 2^53 it is approximate. */
function decodeInteger(text: string, digitsMax: number): number | undefined {
  const first = text.charCodeAt(0)
  const isSigned = first === 0x2d || first === 0x2b
  const from = isSigned ? 1 : 0
  if (text.length === from || text.length - from > digitsMax) return undefined
  let value = 0
  for (let i = from; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return first === 0x2d && value !== 0 ? -value : value
}
