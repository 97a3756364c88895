/**
 * UTF-8 text in and out of buffers. Most text on the hot path is ASCII, where a byte is a character: that case takes no detour.
 */
const SHORT_CHARS_MAX = 24

/** @returns the UTF-8 size of `text`. Hot: short ASCII texts are counted here, without a native call. */
export function textBytes(text: string): number {
  const length = text.length
  if (length > SHORT_CHARS_MAX) return Buffer.byteLength(text)
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) > 0x7f) return Buffer.byteLength(text)
  return length
}

/** Writes `text`, whose `textBytes` is `bytes`, at `at`. Hot. */
export function writeText(target: Buffer, text: string, at: number, bytes: number): void {
  if (bytes !== text.length) {
    target.write(text, at, bytes, 'utf8')
  } else if (bytes <= SHORT_CHARS_MAX) {
    for (let i = 0; i < bytes; i++) target[at + i] = text.charCodeAt(i)
  } else {
    target.write(text, at, bytes, 'latin1')
  }
}

/** Reads UTF-8 from `[from, to)`; broken sequences become U+FFFD, as in Java. Hot: short ASCII needs no decoder. */
export function readText(source: Buffer, from: number, to: number): string {
  for (let i = from; i < to; i++) if ((source[i] as number) > 0x7f) return source.toString('utf8', from, to)
  return source.toString('latin1', from, to)
}
