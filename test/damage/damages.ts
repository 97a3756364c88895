/** Every way in which one byte, or the length, of one file may be wrong. */
import type { DiskImage, FileImage } from './image-disk.ts'

export interface Damage {
  readonly path: string
  readonly kind: 'flip' | 'cut' | 'gone'
  /** The byte that is flipped, or the length that is left. */
  readonly at: number
  /** Bits that are flipped. */
  readonly bits: number
}

/** Of a hole behind a file's content so many bytes are damaged one by one, and as many at its end. */
const HOLE_BYTES_MAX = 128

/** All of them, in the order of files and bytes. */
export function* allDamages(files: DiskImage): Generator<Damage, void, undefined> {
  for (const [path, file] of files) {
    yield { path, kind: 'gone', at: 0, bits: 0 }
    for (const at of placesIn(file)) {
      yield { path, kind: 'flip', at, bits: 1 << ((at * 5) % 8) }
      yield { path, kind: 'cut', at, bits: 0 }
    }
  }
}

function* placesIn({ bytes, size }: FileImage): Generator<number, void, undefined> {
  const near = Math.min(size, bytes.length + HOLE_BYTES_MAX)
  for (let at = 0; at < near; at++) yield at
  for (let at = Math.max(near, size - HOLE_BYTES_MAX); at < size; at++) yield at
}

/** @returns the files with the damage done. */
export function damaged(files: DiskImage, { path, kind, at, bits }: Damage): DiskImage {
  const changed = new Map(files)
  const { bytes, size } = files.get(path) as FileImage
  if (kind === 'gone') changed.delete(path)
  else if (kind === 'cut') changed.set(path, { bytes: bytes.subarray(0, at), size: at })
  else {
    const flipped = Buffer.alloc(Math.max(bytes.length, at + 1))
    bytes.copy(flipped)
    flipped[at] = (flipped[at] ?? 0) ^ bits
    changed.set(path, { bytes: flipped, size })
  }
  return changed
}

export function nameOfDamage({ path, kind, at, bits }: Damage): string {
  if (kind === 'gone') return `${path} gone`
  return kind === 'cut' ? `${path} cut to ${at}` : `${path} byte ${at} ^ 0x${bits.toString(16)}`
}
