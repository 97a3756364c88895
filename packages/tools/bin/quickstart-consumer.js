#!/usr/bin/env node
import '../dist/quickstart-consumer.js'
