/**
 * Numbers in texts, read as Java reads them: what a message's property is worth beside a number in an expression.
 *
 * Source: Integer.valueOf, Long.valueOf, Double.valueOf.
 */

const INT32_MIN = -0x8000_0000
const INT32_MAX = 0x7fff_ffff
const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

const INT64_FIGURES_MAX = 19
const WITHOUT_ZEROS = /^(-?)0*([0-9]*)$/
const INTEGER = /^[+-]?[0-9]+$/
/** Digits of other scripts, which Java reads too; only those of one char. */
const INTEGER_OF_ANY_SCRIPT = /^[+-]?\p{Nd}+$/u
/** One way only to take digits apart: of a property of many that is no number each would be tried with each. */
const DECIMAL = /^([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?$/
const NO_DIGITS = /^[+-]?(?:NaN|Infinity)$/
const HEXADECIMAL = /^([+-]?)0[xX](?:([0-9a-fA-F]+)\.?|([0-9a-fA-F]*)\.([0-9a-fA-F]+))[pP]([+-]?[0-9]+)[fFdD]?$/
/** Char codes up to this one are trimmed around a decimal number, and no others. */
const SPACE_CODE = 0x20
/** Beyond this power of two a double is infinite or 0, whatever digits stand before it. */
const EXPONENT_MAX = 200_000
/** Powers of two that are doubles themselves, in both directions. */
const STEP_OF_TWO = 1_000

/** @returns undefined for what is no integer of 32 bits. */
export function parseInt32(text: string): number | undefined {
  const digits = asciiInteger(text)
  if (digits === undefined) return undefined
  const value = Number(digits)
  // + 0: Java has no negative zero among integers.
  return value >= INT32_MIN && value <= INT32_MAX ? value + 0 : undefined
}

/** @returns undefined for what is no integer of 64 bits. */
export function parseInt64(text: string): bigint | undefined {
  const digits = asciiInteger(text)
  if (digits === undefined) return undefined
  const [, sign = '', figures = ''] = WITHOUT_ZEROS.exec(digits) ?? []
  // What has more figures need not be made a number, which takes long where they are many.
  if (figures.length > INT64_FIGURES_MAX) return undefined
  const value = sign === '-' ? -BigInt(figures) : BigInt(figures)
  return value >= INT64_MIN && value <= INT64_MAX ? value : undefined
}

/** @returns undefined for what is no number; NaN is one. */
export function parseDouble(text: string): number | undefined {
  const trimmed = trim(text)
  const decimal = DECIMAL.exec(trimmed)
  if (decimal !== null) return Number(decimal[1])
  if (NO_DIGITS.test(trimmed)) return Number(trimmed)
  const found = HEXADECIMAL.exec(trimmed)
  return found === null ? undefined : hexadecimal(found)
}

/** Java's order of doubles: NaN equals itself and is the largest, -0 is before 0. */
export function compareDoubles(left: number, right: number): number {
  if (left < right) return -1
  if (left > right) return 1
  if (Object.is(left, right)) return 0
  if (Number.isNaN(left)) return 1
  if (Number.isNaN(right)) return -1
  return Object.is(left, -0) ? -1 : 1
}

/** @returns the number as sign and ASCII digits without a plus. */
function asciiInteger(text: string): string | undefined {
  let digits = text
  if (!INTEGER.test(text)) {
    if (!INTEGER_OF_ANY_SCRIPT.test(text)) return undefined
    digits = ''
    for (const char of text) {
      if (char.length > 1) return undefined
      digits += char === '+' || char === '-' ? char : String(digitOf(char.charCodeAt(0)))
    }
  }
  return digits.startsWith('+') ? digits.slice(1) : digits
}

/** Ten digits of a script follow each other, and scripts do not touch. */
function digitOf(code: number): number {
  let zero = code
  while (/\p{Nd}/u.test(String.fromCharCode(zero - 1))) zero--
  return (code - zero) % 10
}

function trim(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && text.charCodeAt(from) <= SPACE_CODE) from++
  while (to > from && text.charCodeAt(to - 1) <= SPACE_CODE) to--
  return from === 0 && to === text.length ? text : text.slice(from, to)
}

function hexadecimal(found: RegExpExecArray): number {
  const [, sign, whole, left = '', right = '', power = '0'] = found
  const digits = BigInt(`0x0${whole ?? left + right}`)
  const exponent = Number(power) - 4 * (whole === undefined ? right.length : 0)
  const value = scaled(digits, Math.max(-EXPONENT_MAX, Math.min(EXPONENT_MAX, exponent)))
  return sign === '-' ? -value : value
}

/** The nearest double to `digits` * 2^`exponent`. */
function scaled(digits: bigint, exponent: number): number {
  let kept = digits
  let left = exponent
  // 64 bits and whether anything is below them decide how a double is rounded.
  const excess = digits.toString(2).length - 64
  if (excess > 0) {
    kept = digits >> BigInt(excess)
    if (kept << BigInt(excess) !== digits) kept |= 1n
    left += excess
  }
  let value = Number(kept)
  while (left !== 0 && value !== 0 && Number.isFinite(value)) {
    const step = Math.max(-STEP_OF_TWO, Math.min(STEP_OF_TWO, left))
    value *= 2 ** step
    left -= step
  }
  return value
}
