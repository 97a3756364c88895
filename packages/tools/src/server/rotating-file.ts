/**
 * A log file bounded in size: at `bytesMax` it becomes `name.1`, `name.1` becomes `name.2`, and so on up to `keep` old files.
 * For servers that a script started; pino writes whole lines to it.
 *
 * Keeps: a line that cannot be written (the disk is full) is dropped. A server goes on then, and what it logs must not end it.
 */
import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeDirectoriesSync } from '@dledger-ts/base'

export class RotatingFile {
  readonly #path: string
  readonly #bytesMax: number
  readonly #keep: number
  #fd: number
  #bytes: number

  constructor(path: string, { bytesMax = 64 * 1024 * 1024, keep = 5 } = {}) {
    this.#path = path
    this.#bytesMax = bytesMax
    this.#keep = keep
    makeDirectoriesSync(dirname(path))
    this.#fd = openSync(path, 'a')
    this.#bytes = fstatSync(this.#fd).size
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    try {
      if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) this.#rotate()
      writeSync(this.#fd, line)
      this.#bytes += bytes
    } catch {
      // There is no other place to tell it.
    }
  }

  /** The file that is open stays so until the next one is: its number must not be another file's meanwhile. */
  #rotate(): void {
    for (let i = this.#keep - 1; i >= 1; i--) {
      if (existsSync(`${this.#path}.${i}`)) renameSync(`${this.#path}.${i}`, `${this.#path}.${i + 1}`)
    }
    renameSync(this.#path, `${this.#path}.1`)
    const next = openSync(this.#path, 'a')
    closeSync(this.#fd)
    this.#fd = next
    this.#bytes = 0
  }
}
