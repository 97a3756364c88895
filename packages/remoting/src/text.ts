/** UTF-8 text into buffers; ASCII, the rule in headers, is written without an encoder. */

export function utf8Bytes(text: string): number {
  return Buffer.byteLength(text)
}

/** Writes `text`, whose `utf8Bytes` is `bytes`. @returns the position after it. */
export function writeUtf8(target: Buffer, text: string, at: number, bytes: number): number {
  target.write(text, at, bytes, bytes === text.length ? 'latin1' : 'utf8')
  return at + bytes
}
