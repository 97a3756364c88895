/** Which device of this machine a path is on. */
import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** @returns the number of the device that holds `path`, or would once it is made. */
export function deviceOf(path: string): number {
  for (let at = resolve(path); ; at = dirname(at)) {
    const found = statSync(at, { throwIfNoEntry: at === dirname(at) })
    if (found !== undefined) return found.dev
  }
}
