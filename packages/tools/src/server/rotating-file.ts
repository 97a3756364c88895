/**
 * A log file bounded in size: at `bytesMax` it becomes `name.1`, `name.1` becomes `name.2`, and so on up to `keep` old files.
 * For servers that a script started; pino writes whole lines to it.
 */
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

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
    mkdirSync(dirname(path), { recursive: true })
    this.#fd = openSync(path, 'a')
    this.#bytes = fstatSync(this.#fd).size
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) this.#rotate()
    writeSync(this.#fd, line)
    this.#bytes += bytes
  }

  #rotate(): void {
    closeSync(this.#fd)
    for (let i = this.#keep - 1; i >= 1; i--) {
      if (existsSync(`${this.#path}.${i}`)) renameSync(`${this.#path}.${i}`, `${this.#path}.${i + 1}`)
    }
    renameSync(this.#path, `${this.#path}.1`)
    this.#fd = openSync(this.#path, 'a')
    this.#bytes = 0
  }
}
