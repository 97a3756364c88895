import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { NODE_FLAGS } from './v8.ts'

test.each(['mqbroker', 'mqnamesrv'])(
  'the first line of bin/%s.js has the flags with which scripts start it',
  (name) => {
    const text = readFileSync(new URL(`../../bin/${name}.js`, import.meta.url), 'utf8')
    expect(text.split('\n')[0]).toBe(`#!/usr/bin/env -S node ${NODE_FLAGS.join(' ')}`)
  },
)
