/** A log file: bounded in size, and no danger to the server that writes it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { RotatingFile } from './rotating-file.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rotating-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

test('a file that is full becomes .1, and as many old ones as wanted are kept', () => {
  const path = join(directory, 'logs', 'a.log')
  const file = new RotatingFile(path, { bytesMax: 10, keep: 2 })
  for (const line of ['first\n', 'second\n', 'third\n', 'fourth\n']) file.write(line)
  expect(['', '.1', '.2'].map((end) => readFileSync(path + end, 'utf8'))).toEqual(['fourth\n', 'third\n', 'second\n'])
  expect(existsSync(`${path}.3`)).toBe(false)
})

test.runIf(existsSync('/dev/full'))('a line that finds no room is dropped', () => {
  new RotatingFile('/dev/full').write('a line\n')
})

test('where no new file can be made, lines go on into the one that is open', () => {
  const path = join(directory, 'a.log')
  const file = new RotatingFile(path, { bytesMax: 10, keep: 1 })
  file.write('first\n')
  // In the way of the renaming, as a directory that is not writable would be.
  mkdirSync(join(directory, 'a.log.1', 'x'), { recursive: true })
  file.write('second\n')
  file.write('3\n')
  expect(readFileSync(path, 'utf8')).toBe('first\n3\n')
})
