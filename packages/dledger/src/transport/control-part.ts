/**
 * The control part of a frame: one MessagePack array of numbers, strings and booleans, and nothing else.
 *
 * MessagePack can say far more (nested values, extensions that build objects, lengths of billions). The shape is checked
 * over the bytes before the library sees them, so a stranger reaches none of that.
 */
import { Packr, Unpackr } from 'msgpackr'
import { FrameError } from './frame-codec.ts'

export type Scalar = number | string | boolean

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false })

const FIX_ARRAY = 0x90
/** Values in a control part that holds one message or one hello. */
export const SHORT_VALUES_MAX = 15
const ARRAY_16 = 0xdc

export function encodeControl(values: readonly Scalar[]): Buffer {
  return packr.pack(values)
}

/** @throws FrameError when the bytes are not exactly one flat array of at most `valuesMax` values. */
export function decodeControl(bytes: Buffer, valuesMax = SHORT_VALUES_MAX): readonly unknown[] {
  if (!isFlatArray(bytes, valuesMax)) throw new FrameError('a control part is one flat array', { code: 'CONTENT' })
  return unpackr.unpack(bytes) as readonly unknown[]
}

function isFlatArray(bytes: Buffer, valuesMax: number): boolean {
  const kind = bytes[0] ?? 0
  const isLong = kind === ARRAY_16 && bytes.length >= 3
  const count = isLong ? bytes.readUInt16BE(1) : kind - FIX_ARRAY
  if (count < 0 || count > (isLong ? valuesMax : SHORT_VALUES_MAX)) return false
  let at = isLong ? 3 : 1
  for (let i = 0; i < count; i++) {
    if (at >= bytes.length) return false
    at += scalarBytes(bytes, at)
  }
  return at === bytes.length
}

/** Size of the scalar at `at`; more than any control part has when it is none. */
function scalarBytes(bytes: Buffer, at: number): number {
  const kind = bytes[at] as number
  if (kind < 0x80 || kind >= 0xe0) return 1
  if (kind >= 0xa0 && kind <= 0xbf) return 1 + (kind & 0x1f)
  switch (kind) {
    case 0xc2: // false
    case 0xc3: // true
      return 1
    case 0xcc: // uint8
    case 0xd0: // int8
      return 2
    case 0xcd: // uint16
    case 0xd1: // int16
      return 3
    case 0xce: // uint32
    case 0xd2: // int32
      return 5
    case 0xcb: // float64
      return 9
    case 0xd9: // str8
      return at + 1 < bytes.length ? 2 + bytes.readUInt8(at + 1) : Number.MAX_SAFE_INTEGER
    case 0xda: // str16
      return at + 2 < bytes.length ? 3 + bytes.readUInt16BE(at + 1) : Number.MAX_SAFE_INTEGER
    default:
      return Number.MAX_SAFE_INTEGER
  }
}
